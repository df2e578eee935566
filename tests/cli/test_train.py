"""`odise train` as its users type it: words, exit codes, signals, deaths."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from odise_cli.cli.app import main
from odise_cli.model.checkpoint import HEAD_FILE
from odise_cli.training.checkpoints import find_checkpoints
from tests.commands.training_data import VOCAB, write_recipe, write_training_set
from tests.training.small_network import write_training_model

_FORKSERVER = multiprocessing.get_context("forkserver")
_FORKSERVER.set_forkserver_preload(["odise_cli.commands.train"])


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A training set, a model and a recipe of five steps."""
    folder = tmp_path_factory.mktemp("place")
    write_training_set(folder / "set", 5)
    write_training_model(folder / "model")
    write_recipe(folder / "recipe.toml", folder / "model", steps=5, checkpoint_every=2)
    return folder


@pytest.fixture(autouse=True)
def fresh_processes():
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def argv(place: Path, run: Path, *more: str) -> list[str]:
    words = ["train", "--recipe", str(place / "recipe.toml"), "--data", str(place / "set")]
    return [*words, "--out", str(run), "--device", "cpu", *more]


def _exit_with_code(words: list[str]) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.exit(main(words))


def start(words: list[str]):
    process = _FORKSERVER.Process(target=_exit_with_code, args=(words,))
    process.start()
    return process


def wait_for_checkpoint(process, run: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while not any(found >= step for found, _ in find_checkpoints(run)):
        assert process.is_alive(), process.exitcode
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(place) -> Path:
    """A run that nobody stopped, validated at its end."""
    process = start(argv(place, place / "whole", "--set", "validation.every=5"))
    process.join(300)
    assert process.exitcode == 0
    return place / "whole"


def test_the_report(place, tmp_path, capsys):
    code = main(argv(place, tmp_path / "run", "--set", "steps=1", "--json"))
    assert code == 0, capsys.readouterr().err
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["num_done_steps"], report["num_processes"]) == (1, 1)
    assert report["last_metrics"]["step"] == 1
    assert report["num_trainable"] > 0
    assert report["num_frozen"] > 0


def test_a_killed_run_goes_on_as_if_nothing_had_happened(place, whole, tmp_path):
    words = argv(place, tmp_path / "run", "--resume", "--set", "validation.every=5")
    process = start(words)
    wait_for_checkpoint(process, tmp_path / "run", 2)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "run" / HEAD_FILE).exists()
    again = start(words)
    again.join(300)
    assert again.exitcode == 0
    assert (tmp_path / "run" / HEAD_FILE).read_bytes() == (whole / HEAD_FILE).read_bytes()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_signal_leaves_a_checkpoint(place, tmp_path, number, code):
    run = tmp_path / "run"
    process = start(argv(place, run, "--set", "steps=100000", "--set", "checkpoint_every=1"))
    wait_for_checkpoint(process, run, 1)
    os.kill(process.pid, number)
    process.join(120)
    assert process.exitcode == code
    last = find_checkpoints(run)[-1][0]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == last


def test_validation_is_what_odise_evaluate_says(place, whole, tmp_path, capsys):
    data = place / "set"
    preds = tmp_path / "preds"
    segment = ["segment", data / "images", "--vocab", VOCAB, "--model", whole, "--out", preds]
    segment += ["--write", "panoptic,semantic", "--device", "cpu"]
    assert main([str(word) for word in segment]) == 0, capsys.readouterr().err
    evaluate = ["evaluate", "--dataset", "coco-panoptic", "--annotations", data / "panoptic.json"]
    evaluate += ["--masks", data / "masks", "--vocab", VOCAB, "--predictions", preds, "--json"]
    assert main([str(word) for word in evaluate]) == 0, capsys.readouterr().err
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]
    scores = json.loads((whole / "report.json").read_text())["last_scores"]
    assert scores == {name: figures[name] for name in scores}
    assert scores["mIoU"] > 0


def test_dry_run_says_what_would_be_done(place, tmp_path, capsys):
    assert main(argv(place, tmp_path / "run", "--dry-run", "--set", "images_per_pass=1")) == 0
    out = capsys.readouterr().out
    assert "images      5" in out
    assert "5, 0 already done; 2 images each, 1 at once, 2 passes; 2 epochs" in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--set", "stepz=1"], 2, "stepz is no setting. Expected keys of a recipe. Did you mean"),
        (["--set", "batch_size=3", "--set", "images_per_pass=2"], 2, "batch_size: 3 images cannot"),
        (["--set", "data.vocab=cat; dog"], 2, "the category id 3 is stuff, in the vocabulary"),
        (["--set", "data.masks=nowhere"], 5, "nowhere/000000000000.png: is not there"),
        (["--set", "data.annotations=x.json"], 5, "x.json: is not there"),
        (["--set", "supervision=caption", "--set", "is_head_new=false"], 2, "supervision: 'capt"),
        (
            ["--set", "supervision=caption", "--set", "is_head_new=false"],
            2,
            "or are_words_new = true to keep its masks",
        ),
        (["--set", "model=nothing"], 5, "'nothing' is neither a model nor a folder"),
        (["--set", "task=clip"], 2, "has no task 'clip'"),
        (["--device", "cuda:1"], 2, "--device"),
        (["--precision", "fp16"], 2, "precision: fp16 does not train on cpu"),
        (["--recipe", "label_coc"], 5, "Did you mean label_coco?"),
    ],
)
def test_what_cannot_begin(place, tmp_path, capsys, more, code, message):
    assert main(argv(place, tmp_path / "run", "--dry-run", *more)) == code
    assert message in capsys.readouterr().err


def test_empty_captions_are_refused(place, tmp_path, capsys):
    data = tmp_path / "set"
    shutil.copytree(place / "set", data)
    captions = json.loads((data / "captions.json").read_text())
    for entry in captions["annotations"]:
        entry["caption"] = " "
    (data / "captions.json").write_text(json.dumps(captions))
    words = argv(place, tmp_path / "run", "--dry-run", "--set", "supervision=caption")
    assert main([*words, "--data", str(data)]) == 2
    assert "captions.json: has no caption of any of the 5 images" in capsys.readouterr().err


def test_a_folder_keeps_to_its_recipe(place, whole, capsys):
    assert main(argv(place, whole)) == 2
    assert "whole: holds a training run. Expected a new folder, or --resume" in (
        capsys.readouterr().err
    )
    words = argv(place, whole, "--resume", "--set", "validation.every=5", "--set", "seed=1")
    assert main([*words, "--set", "optimizer.learning_rate=1.0"]) == 2
    err = capsys.readouterr().err
    assert "seed: 1, was 42; optimizer.learning_rate: 1.0, was 0.0001" in err
    assert main(argv(place, whole, "--resume", "--set", "validation.every=5")) == 0


def test_a_loss_that_is_no_number_names_its_images(place, tmp_path, capsys):
    words = argv(place, tmp_path / "run", "--set", "optimizer.learning_rate=1e30")
    assert main([*words, "--set", "schedule.warmup=0.0", "--set", "optimizer.clip_norm=0"]) == 2
    err = capsys.readouterr().err
    assert "step 2: the " in err
    assert "with the images 00000000000" in err
