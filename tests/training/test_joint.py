"""The real network in two processes: the losses of one process with the joint batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from odise_cli.model.checkpoint import HEAD_FILE
from odise_cli.training.checkpoints import find_checkpoints
from tests.commands.training_data import write_recipe, write_training_set
from tests.training.joint import train_jointly
from tests.training.small_network import write_training_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    write_training_set(folder / "set", 6)
    write_training_model(folder / "model")
    write_recipe(folder / "recipe.toml", folder / "model", steps=3, batch_size=4, log_every=1)
    return folder


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: v for name, v in line.items() if name.startswith(("loss", "gradient"))}
        for line in lines
    ]


@pytest.mark.parametrize("supervision", ["caption", pytest.param("label", marks=pytest.mark.slow)])
def test_two_processes_have_the_losses_of_one(place, tmp_path, supervision):
    # Captions whose words differ: what they are told from comes from both processes.
    settings = [f"supervision={supervision}"]
    train_jointly(place, tmp_path / "one", *settings)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "2", "-m", "tests.training.joint"]
    command += [str(place), str(tmp_path / "two"), *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ones, twos = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(ones) == 3
    assert ("loss_mask_word" in ones[0]) == (supervision == "caption")
    for one, two in zip(ones, twos, strict=True):
        assert one == pytest.approx(two, rel=1e-4)
    one, two = (
        load_file(find_checkpoints(tmp_path / name)[-1][1] / HEAD_FILE) for name in ("one", "two")
    )
    # Three steps of at most 1e-4 each.
    assert all((one[name] - two[name]).abs().max() < 3e-5 for name in one)
