import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from odise_cli.errors import TrainingError, UsageError
from odise_cli.recipe.schema import OptimizerConfig, ValidationConfig
from odise_cli.training.checkpoints import find_checkpoints, read_state
from odise_cli.training.loop import Trainer, num_passes, start_processes
from tests.training.toy import WEIGHTS, Line, points, toy_recipe, toy_task, train_toy

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("step_seconds", "data_seconds", "images_per_second", "memory_mib")


def metrics(run: Path) -> list[dict[str, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


def newest_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoints(run)[-1][1] / WEIGHTS)


def assert_same_end(run: Path, other: Path) -> None:
    """Equal weights and optimiser, bit for bit."""
    (step, one), (other_step, two) = find_checkpoints(run)[-1], find_checkpoints(other)[-1]
    assert step == other_step
    assert (one / WEIGHTS).read_bytes() == (two / WEIGHTS).read_bytes()
    torch.testing.assert_close(read_state(one), read_state(two), rtol=0, atol=0)


def test_a_step_is_that_of_plain_adamw(tmp_path):
    recipe = toy_recipe(steps=3)
    train_toy(tmp_path, recipe)
    line = Line(0.0)
    optimizer = torch.optim.AdamW(
        [
            {"params": [line.linear.weight], "weight_decay": 0.05},
            {"params": [line.linear.bias], "weight_decay": 0.0},
        ]
    )
    # Warm-up over half of three steps: 0.067 at 0, then 0.067 + (1 - 0.067) (1 / 1.5), then 1.
    for step, factor in enumerate((0.067, 0.067 + 0.933 / 1.5, 1.0)):
        _, x, y = zip(*(points(i) for i in range(4 * step, 4 * step + 4)), strict=True)
        error = (line.linear(torch.stack(x)) - torch.stack(y)).square().mean()
        (error + 0.1 * line.linear.weight.square().sum()).backward()
        torch.nn.utils.clip_grad_norm_(line.linear.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * factor
        optimizer.step()
        optimizer.zero_grad()
    expected = line.linear.state_dict()
    found = newest_weights(tmp_path)
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_the_loss_falls(tmp_path):
    train_toy(tmp_path, toy_recipe(steps=40))
    losses = [line["loss"] for line in metrics(tmp_path)]
    assert losses[-1] < losses[0] / 2


def test_metrics_have_every_loss_and_what_it_cost(tmp_path):
    train_toy(tmp_path, toy_recipe(steps=5, log_every=2))
    lines = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    first = lines[0]
    assert first["loss"] == pytest.approx(first["fit"] + first["size"], rel=1e-6)
    # The rate of the second step: two fifths of a warm-up of half the run.
    assert first["learning_rate"] == pytest.approx(0.1 * (0.067 + 0.933 * 0.2 / 0.5), rel=1e-12)
    assert first["images_per_second"] == pytest.approx(4 / first["step_seconds"])
    assert 50 < first["memory_mib"] < 100_000
    assert first["gradient_norm"] > 0


def test_passes_add_up_to_the_batch(tmp_path):
    train_toy(tmp_path / "whole", toy_recipe())
    train_toy(tmp_path / "parts", toy_recipe(images_per_pass=1))
    for one, other in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "parts"), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_stopped_and_continued_is_never_stopped(tmp_path):
    recipe = toy_recipe(steps=7, checkpoint_every=3)
    assert train_toy(tmp_path / "whole", recipe, noise=0.5)
    for stop_at in (0, 1, 2, 3, 6):
        run = tmp_path / str(stop_at)
        assert not train_toy(run, recipe, noise=0.5, stop_at=stop_at)
        assert train_toy(run, recipe, noise=0.5)
        assert_same_end(run, tmp_path / "whole")
        assert metrics(run) == metrics(tmp_path / "whole")


def test_a_run_that_died_goes_on_from_its_last_checkpoint(tmp_path):
    recipe = toy_recipe(steps=7, checkpoint_every=3)
    train_toy(tmp_path / "whole", recipe, noise=0.5)
    run = tmp_path / "dead"
    train_toy(run, recipe, noise=0.5, stop_at=5)
    # As after a kill in step 5: no checkpoint of it, a line of it, and half a line.
    stopped = find_checkpoints(run)[-1]
    assert stopped[0] == 5
    for file in stopped[1].iterdir():
        file.unlink()
    stopped[1].rename(run / "checkpoints" / ".incomplete")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    train_toy(run, recipe, noise=0.5)
    assert_same_end(run, tmp_path / "whole")
    assert metrics(run) == metrics(tmp_path / "whole")


def test_only_the_newest_checkpoints_stay(tmp_path):
    train_toy(tmp_path, toy_recipe(steps=9, checkpoint_every=2, keep_checkpoints=2))
    assert [step for step, _ in find_checkpoints(tmp_path)] == [8, 9]
    assert not (tmp_path / "checkpoints" / ".incomplete").exists()


def test_two_processes_are_one_with_the_joint_batch(tmp_path):
    train_toy(tmp_path / "one", toy_recipe())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "tests.training.toy", str(tmp_path / "two"), "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    ones, twos = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    assert len(ones) == 6
    for one, two in zip(ones, twos, strict=True):
        assert one == pytest.approx(two, rel=1e-5)
    for name, tensor in newest_weights(tmp_path / "one").items():
        assert torch.allclose(tensor, newest_weights(tmp_path / "two")[name], atol=1e-6)


def test_a_loss_that_is_no_number_names_step_and_images(tmp_path):
    recipe = toy_recipe()
    task = toy_task(recipe)

    def open_batches(first):
        for number, batch in enumerate(task.open_batches(first)):
            if number == 2:
                batch.x[1] = float("nan")
            yield batch

    broken = replace(task, open_batches=open_batches)
    trainer = Trainer(broken, recipe, start_processes("cpu", "fp32"), run=tmp_path)
    message = r"step 3: the loss is nan, with the images point-8, point-9, point-10, point-11\."
    with pytest.raises(TrainingError, match=message):
        trainer.train()
    assert trainer.step == 2
    assert all(np.isfinite(line["loss"]) for line in metrics(tmp_path))


def test_a_gradient_that_is_no_number_does_not_reach_the_weights(tmp_path):
    recipe = toy_recipe(optimizer=OptimizerConfig(clip_norm=0.0))
    task = toy_task(recipe)
    task.objective.linear.weight.register_hook(lambda gradient: gradient * float("inf"))
    trainer = Trainer(task, recipe, start_processes("cpu", "fp32"), run=tmp_path)
    with pytest.raises(TrainingError, match=r"step 1: the gradient norm is (inf|nan), with .*-3"):
        trainer.train()
    assert all(p.isfinite().all() for p in task.objective.parameters())


def test_validation_is_logged_and_changes_nothing(tmp_path):
    train_toy(tmp_path / "without", toy_recipe(), noise=0.5)
    recipe = toy_recipe(validation=ValidationConfig(every=4))
    calls = []

    def validate():
        torch.manual_seed(123)
        calls.append(trainer.step)
        return {"PQ": 12.5, "mIoU": None}

    task = replace(toy_task(recipe, noise=0.5), validate=validate)
    run = tmp_path / "with"
    run.mkdir()
    trainer = Trainer(task, recipe, start_processes("cpu", "fp32"), run=run)
    trainer.train()
    assert calls == [4, 6]
    lines = metrics(run)
    scores = [line for line in lines if "validation" in line]
    assert scores == [{"step": s, "validation": {"PQ": 12.5, "mIoU": None}} for s in (4, 6)]
    assert [line for line in lines if "loss" in line] == metrics(tmp_path / "without")


@pytest.mark.parametrize(
    ("batch_size", "images_per_pass", "num_processes", "expected"),
    [
        (64, None, 1, (1, 64)),
        (64, None, 8, (1, 8)),
        (64, 2, 8, (4, 2)),
        (6, 1, 3, (2, 1)),
    ],
)
def test_the_batch_is_shared_out(batch_size, images_per_pass, num_processes, expected):
    recipe = toy_recipe(batch_size=batch_size, images_per_pass=images_per_pass)
    assert num_passes(recipe, num_processes) == expected


@pytest.mark.parametrize(
    ("batch_size", "images_per_pass", "num_processes", "message"),
    [
        (64, None, 3, "batch_size: 64 images cannot be .* 3 processes, 21 at once. .* of 63"),
        (4, 3, 1, "4 images cannot be shared out to 1 processes, 3 at once"),
        (2, None, 4, "2 images cannot be shared out to 4 processes, 1 at once"),
    ],
)
def test_a_batch_that_cannot_be_shared_out(batch_size, images_per_pass, num_processes, message):
    recipe = toy_recipe(batch_size=batch_size, images_per_pass=images_per_pass)
    with pytest.raises(UsageError, match=message):
        num_passes(recipe, num_processes)
