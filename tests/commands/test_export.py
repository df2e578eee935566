"""`odise export` from one end to the other, on a model whose frozen parts lie elsewhere."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from odise_cli.cli.app import main
from odise_cli.commands.model_source import find_model
from odise_cli.model.checkpoint import load_model, read_model_folder, save_referring_folder
from odise_cli.writers.atomic import temporary_path
from tests.runs import VOCAB, segment, write_images
from tests.training.small_network import write_training_model

NOTICE = "Weights for tests, under the licence of tests."


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """What a training run leaves behind: a head, and the names of the rest's places."""
    folder = tmp_path_factory.mktemp("models")
    files = read_model_folder(write_training_model(folder / "whole"))
    files = replace(files, config=replace(files.config, notice=NOTICE, training_words=("cat",)))
    save_referring_folder(load_model(files), files, folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def report(model) -> Path:
    """The part of an evaluation's report.json that a model card needs."""
    path = model.parent / "report.json"
    content = {
        "schema": "odise-evaluation/1",
        "title": "voc21: 1,449 images",
        "figures": {"mIoU": 12.345, "PQ": None},
        "protocol": {"weights": find_model(str(model), weights=None).weights_sha256()},
    }
    path.write_text(json.dumps(content))
    return path


def export(model, out, *more) -> int:
    words = ["export", "--model", model, "--format", "safetensors", "--out", out, *more]
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def exported(model, report) -> Path:
    out = model.parent / "exported"
    assert export(model, out, "--report", report, "--quiet") == 0
    return out


def test_the_folder_needs_nothing_beside_it(model, exported, tmp_path, capsys):
    config = json.loads((exported / "odise.json").read_text())
    assert "diffusion" not in config
    assert "clip" not in config
    images = write_images(tmp_path / "images", ["a.png"])
    for source, out in ((model, "torch"), (exported, "exported")):
        code = segment(images, "--vocab", VOCAB, "--model", source, "--out", tmp_path / out)
        assert code == 0
    assert NOTICE in capsys.readouterr().err
    files = [tmp_path / out / "panoptic" / "a.png" for out in ("torch", "exported")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_record_is_true(exported):
    record = json.loads((exported / "export.json").read_text())
    assert record["schema"] == "odise-export/1"
    assert (record["format"], record["precision"]) == ("safetensors", "fp32")
    assert record["parity"]["found"] == {
        "mask_iou": 1.0,
        "label_agreement": 1.0,
        "max_logit_difference": 0.0,
    }
    present = {
        path.relative_to(exported).as_posix(): path
        for path in exported.rglob("*")
        if path.is_file() and path.name != "export.json"
    }
    assert record["files"].keys() == present.keys()
    assert {"README.md", "head.safetensors", "clip/open_clip_config.json"} <= present.keys()
    for name, entry in record["files"].items():
        content = present[name].read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_card_says_licence_training_and_figures(exported):
    card = (exported / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n")
    assert f"## Licence\n\n{NOTICE}\n" in card
    assert "voc21: 1,449 images; percentages." in card
    assert "| mIoU | 12.35 |" in card or "| mIoU | 12.34 |" in card
    assert "PQ" not in card
    assert "The head was taught 1 words" in card
    assert "--model ./exported " in card


def test_the_configuration_of_clip_is_the_one_it_was_built_from(model, exported):
    name = "clip/open_clip_config.json"
    built_from = json.loads((model.parent / "whole" / name).read_text())["model_cfg"]
    written = json.loads((exported / name).read_text())["model_cfg"]
    for part, value in built_from.items():
        if isinstance(value, dict):
            assert {key: written[part][key] for key in value} == value
        else:
            assert written[part] == value


def test_half_precision_takes_half_the_place(model, tmp_path, capsys):
    out = tmp_path / "half"
    assert export(model, out, "--precision", "fp16") == 0
    said = capsys.readouterr().out
    assert said.startswith("safetensors, fp16, ")
    assert "the same answers on 2 pictures: mask IoU " in said
    assert said.endswith(f"model: {out}\n")
    for part in ("head", "unet/diffusion_pytorch_model", "clip/open_clip_model"):
        dtypes = {x.dtype for x in load_file(out / f"{part}.safetensors").values()}
        assert dtypes == {torch.float16}, part


def test_weights_that_half_precision_cannot_hold(model, tmp_path, capsys):
    from safetensors.torch import save_file

    head = load_file(model / "head.safetensors")
    name = next(iter(head))
    head[name] = torch.full_like(head[name], 1e5)
    save_file(head, tmp_path / "head.safetensors")
    out = tmp_path / "out"
    flags = ["--precision", "fp16", "--no-verify", "--weights", tmp_path / "head.safetensors"]
    assert export(model, out, *flags) == 2
    assert " has values beyond 65,504. Expected weights that fp16 holds." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["head.safetensors"]


def test_a_full_disk_leaves_nothing_behind(model, tmp_path, capsys, small_files):
    out = tmp_path / "out"
    small_files(100_000)
    assert export(model, out, "--no-verify") == 75
    small_files(None)
    assert f"{out}: cannot be written now: File too large." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--format", "onyx"], 2, "--format: 'onyx' is unknown. Expected onnx, pt2, safetensors."),
        (["--precision", "int8"], 2, "--precision: 'int8' is unknown. Expected fp32, fp16."),
        (["--model", "nothing"], 5, "'nothing' is neither a model nor a folder"),
        (["--report", "nowhere.json"], 5, "--report: nowhere.json cannot be read (No such file"),
        (["--report", __file__], 2, "is no report. Expected a report.json of `odise evaluate`."),
    ],
)
def test_what_cannot_be_exported(model, tmp_path, capsys, more, code, message):
    assert export(model, tmp_path / "out", *more) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", "odise-evaluation/9", "has the schema 'odise-evaluation/9'. Expected"),
        ("protocol", {"weights": {"head": "0"}}, "is of other weights. Expected figures of the"),
    ],
)
def test_figures_of_something_else(model, report, tmp_path, capsys, key, value, message):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({**json.loads(report.read_text()), key: value}))
    assert export(model, tmp_path / "out", "--report", path) == 2
    assert f"--report: {path} {message}" in capsys.readouterr().err


def test_a_folder_with_something_in_it_is_left_alone(model, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert export(model, tmp_path) == 2
    assert f"--out: {tmp_path} is not empty. Expected an empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert not temporary_path(tmp_path).exists()
