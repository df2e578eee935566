"""The ablations from the first command to the table, on a model and pictures of a blink."""

import json
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState

from ablations.arms import ABLATIONS
from ablations.run import main
from ablations.variants import write_variant
from odise_cli.errors import CheckpointError
from odise_cli.hub import file_sha256
from odise_cli.model.checkpoint import read_model_folder
from tests.training.small_network import write_training_model

SMALL = ["--scenes", "2", "--held-out", "2", "--size", "64x64", "--steps", "1", "--device", "cpu"]
SMALL += ["--set", "batch_size=1", "--set", "data.crop_size=64", "--set", "num_points=16"]


@pytest.fixture(autouse=True)
def fresh_processes():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_training_model(tmp_path_factory.mktemp("ablations") / "model")


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Shared, so that what the arms have in common is trained once."""
    return tmp_path_factory.mktemp("ablations") / "out"


@pytest.mark.parametrize(
    ("name", "num_rows", "num_heads"), [("features", 2, 2), ("pooling", 4, 2), ("captioner", 2, 3)]
)
def test_an_ablation_ends_in_a_table(capsys, model, out, name, num_rows, num_heads):
    assert main([name, "--out", str(out), "--model", str(model), *SMALL]) == 0
    table = (out / f"{name}.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.endswith(table)
    lines = [line.strip("| \n").split(" | ") for line in table.splitlines()]
    assert lines[0][-7:] == ["PQ seen", "PQ unseen", "PQ", "mIoU", "seed", "steps", "seconds"]
    assert [line[0] for line in lines[2:]] == [arm.title for arm in ABLATIONS[name]]
    assert len(lines) == num_rows + 2
    assert all(line[5:7] == ["1", "1"] for line in lines[2:])
    heads = sorted(path.name for path in (out / "heads").iterdir())
    assert len(heads) == num_heads


def test_arms_are_what_they_say(model, out, capsys):
    main(["pooling", "--out", str(out), "--model", str(model), *SMALL])
    main(["features", "--out", str(out), "--model", str(model), *SMALL])
    capsys.readouterr()
    features = {read_model_folder(run).config.features for run in sorted((out / "heads").iterdir())}
    assert features == {"diffusion", "clip"}
    settings = {
        path.parent.parent.name: json.loads(path.read_text())["settings"]
        for path in (out / "scores").glob("pooling-*/predictions/run.json")
    }
    seen = {(s["model"]["clip_masks"], s["alpha"], s["beta"]) for s in settings.values()}
    assert seen == {
        ("pooled", 0.3, 0.7),
        ("cropped", 0.3, 0.7),
        ("pooled", 1.0, 1.0),
        ("cropped", 1.0, 1.0),
    }


def test_with_its_own_head_a_model_is_scored_as_it_is(model, tmp_path, capsys):
    argv = ["--own-head", "--out", str(tmp_path), "--model", str(model), *SMALL]
    assert main(["pooling", *argv]) == 0
    printed = capsys.readouterr()
    assert "odise train" not in printed.err
    assert not (tmp_path / "heads").exists()
    assert not (tmp_path / "pictures" / "train").exists()
    table = (tmp_path / "pooling.md").read_text(encoding="utf-8")
    assert printed.out.endswith(table)
    lines = [line.strip("| \n").split(" | ") for line in table.splitlines()]
    assert lines[0][-4:] == ["PQ seen", "PQ unseen", "PQ", "mIoU"]
    assert [line[0] for line in lines[2:]] == [arm.title for arm in ABLATIONS["pooling"]]
    weights = {
        json.loads(path.read_text())["settings"]["weights"]["head"]
        for path in tmp_path.glob("scores/pooling-*/predictions/run.json")
    }
    assert weights == {file_sha256(model / "head.safetensors")}
    assert main(["classifier", *argv]) == 0
    reports = sorted(tmp_path.glob("scores/classifier-*/report.json"))
    assert len(reports) == len(ABLATIONS["classifier"])


def test_heads_that_are_to_be_trained_differently_are_no_model_s_own(model, tmp_path, capsys):
    argv = ["features", "--own-head", "--out", str(tmp_path / "out"), "--model", str(model)]
    assert main(argv) == 2
    assert capsys.readouterr().err == (
        "--own-head: features compares heads that were trained differently. Expected classifier "
        "or pooling. Leave out --own-head to train them.\n"
    )
    assert not (tmp_path / "out").exists()


def test_what_was_drawn_to_train_on_is_what_counts_as_seen(model, out, capsys):
    main(["features", "--out", str(out), "--model", str(model), *SMALL])
    capsys.readouterr()
    truth = json.loads((out / "pictures/train/panoptic.json").read_text())
    present = {s["category_id"] for row in truth["annotations"] for s in row["segments_info"]}
    names = {row["name"] for row in truth["categories"] if row["id"] in present}
    (run,) = (out / "heads").glob("seed*")
    assert set(read_model_folder(run).config.training_words) == names
    for path in (out / "scores").glob("features-*/report.json"):
        split = json.loads(path.read_text())["seen_split"]["exact_name"]
        assert split["seen"]["num_categories"] == len(names) < 48
        assert split["unseen"]["num_categories"] == 48 - len(names)


def test_a_head_of_another_recipe_is_refused(model, out, capsys):
    argv = ["features", "--out", str(out), "--model", str(model), *SMALL]
    main(argv)
    with pytest.raises(SystemExit) as stop:
        main([*argv, "--set", "num_points=32"])
    assert stop.value.code == 2
    assert "num_points: 32, was 16" in capsys.readouterr().err


def test_a_variant_that_means_nothing(model, tmp_path):
    with pytest.raises(CheckpointError, match="timestep is 1000"):
        write_variant(str(model), tmp_path / "x", {"timestep": 1000}, has_head=False)


def test_a_model_that_is_not_there(capsys, tmp_path):
    assert main(["features", "--out", str(tmp_path), "--model", str(tmp_path / "no"), *SMALL]) == 5
    assert "no" in capsys.readouterr().err
