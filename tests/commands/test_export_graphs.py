"""`odise export` to graphs, and `odise segment` with what it wrote, from one end to the other."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from odise_cli.cli.app import main
from tests.runs import (
    ALL_OUTPUTS,
    VOCAB,
    different_share,
    picture,
    read_json,
    segment,
    segments_of,
    write_images,
)
from tests.training.small_network import write_training_model

LANDSCAPE = ["a/x.jpg", "a/y.png"]


def export(model, form, out, *more) -> int:
    words = ["export", "--model", model, "--format", form, "--out", out, *more]
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return write_images(tmp_path_factory.mktemp("imgs"), LANDSCAPE)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model whose masks are made from CLIP, as some ablations have it: quick to export."""
    folder = tmp_path_factory.mktemp("models") / "by-clip"
    return write_training_model(folder, features="clip", supervision="caption")


@pytest.fixture(scope="module")
def graphs(model, tmp_path_factory) -> Path:
    """The model as ONNX, for images as `picture` draws them: 64×85 pixels to the model."""
    out = tmp_path_factory.mktemp("exported") / "onnx"
    assert export(model, "onnx", out, "--quiet") == 0
    return out


def test_the_graphs_write_what_the_model_writes(model, graphs, images, tmp_path):
    flags = [images, "--vocab", VOCAB, "--write", ALL_OUTPUTS, "--batch-size", 2, "--quiet"]
    for source, out in ((model, "torch"), (graphs, "onnx")):
        assert segment(*flags, "--model", source, "--out", tmp_path / out) == 0
    assert different_share(tmp_path / "torch", tmp_path / "onnx") <= 0.001
    assert sorted((tmp_path / "onnx" / "semantic").rglob("*.png")) != []
    ours, theirs = (segments_of(tmp_path / out) for out in ("torch", "onnx"))
    assert [row["category"] for row in ours] == [row["category"] for row in theirs]
    assert [row["score"] for row in ours] == pytest.approx([row["score"] for row in theirs], 1e-3)
    ours, theirs = (read_json(tmp_path / out / "instances.json") for out in ("torch", "onnx"))
    assert len(ours) == len(theirs) > 0


def test_the_record_says_what_was_compared(graphs):
    record = read_json(graphs / "export.json")
    assert (record["format"], record["precision"]) == ("onnx", "fp32")
    assert {"onnx", "onnxruntime", "torch"} <= record["packages"].keys()
    found, accepted = record["parity"]["found"], record["parity"]["accepted"]
    assert found["mask_iou"] >= accepted["mask_iou"]
    assert found["max_logit_difference"] <= accepted["max_logit_difference"]
    assert record["files"].keys() == {
        "README.md",
        "classifier.onnx",
        "odise.json",
        "text.onnx",
        "vision_64x128.onnx",
        "weights.bin",
    }
    described = read_json(graphs / "odise.json")["graphs"]
    # Two crops of 64 pixels lie side by side: 63 / 2 images.
    assert (described["canvases"], described["max_images"]) == ([[64, 128]], 31)
    assert "ONNX graphs for canvases of 64x128 pixels" in (graphs / "README.md").read_text()


def test_an_image_that_no_canvas_holds_is_shrunk(graphs, tmp_path):
    path = tmp_path / "upright.png"
    # Its short side would become 64 and its long side 160, on a canvas of 64×128.
    Image.fromarray(picture(1, (200, 80))).save(path)
    out = tmp_path / "preds"
    assert segment(path, "--vocab", VOCAB, "--model", graphs, "--out", out, "--quiet") == 0
    with Image.open(out / "panoptic" / "upright.png") as png:
        assert png.size == (80, 200)


def test_a_canvas_that_images_leave_empty_is_named_once(graphs, images, tmp_path, capsys):
    argv = ["--vocab", VOCAB, "--model", graphs, "--out"]
    assert segment(images, *argv, tmp_path / "fitting") == 0
    assert " covers " not in capsys.readouterr().err
    for name in ("u.png", "v.png"):
        Image.fromarray(picture(1, (160, 80))).save(tmp_path / name)
    paths = [tmp_path / name for name in ("u.png", "v.png")]
    assert segment(*paths, *argv, tmp_path / "upright") == 0
    # 128x64 is shrunk to 64x32, a quarter of the canvas.
    assert capsys.readouterr().err.count(" covers ") == 1
    assert segment(*paths, *argv, tmp_path / "again", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_weights_of_opinions_are_those_asked_for(graphs, images, tmp_path):
    scores = []
    for number, flags in enumerate(([], ["--alpha", 0, "--beta", 0])):
        out = tmp_path / str(number)
        words = [images, "--vocab", VOCAB, "--write", "segments", "--model", graphs, "--quiet"]
        assert segment(*words, *flags, "--out", out) == 0
        scores.append([row["score"] for row in segments_of(out)])
    assert scores[0] != scores[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "sizes", "num_pictures"), [("onnx", ["64x64", "128x64"], 4), ("pt2", ["64x128"], 2)]
)
def test_half_precision_and_several_canvases(
    model, images, tmp_path, capsys, form, sizes, num_pictures
):
    out = tmp_path / "graphs"
    flags = ["--precision", "fp16", *(word for size in sizes for word in ("--size", size))]
    assert export(model, form, out, *flags) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{form}, fp16, ")
    assert f"the same answers on {num_pictures} pictures: mask IoU " in said
    preds = tmp_path / "preds"
    assert segment(images, "--vocab", VOCAB, "--model", out, "--out", preds, "--quiet") == 0
    assert read_json(preds / "run.json")["settings"]["precision"] == "fp16"


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_full_disk_leaves_nothing_behind(model, tmp_path, capsys, small_files, form):
    out = tmp_path / "out"
    small_files(20_000)
    assert export(model, form, out, "--no-verify") == 75
    small_files(None)
    assert f"{out}: cannot be written now: File too large." in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--device", "cuda"], 2, "--device: cuda is not what this exported model runs in."),
        (["--precision", "bf16"], 2, "--precision: bf16 is not what this exported model runs in."),
        (["--seed", "7"], 2, "--seed: 7 is not the exported model's. Expected 42"),
        (["--weights", __file__], 2, "is an exported model, whose head is in its graphs."),
    ],
)
def test_what_graphs_cannot_do(graphs, images, tmp_path, capsys, flags, code, message):
    out = tmp_path / "preds"
    assert segment(images, "--vocab", VOCAB, "--model", graphs, "--out", out, *flags) == code
    assert message in capsys.readouterr().err


def test_graphs_are_not_exported_again(graphs, tmp_path, capsys):
    assert export(graphs, "pt2", tmp_path / "out") == 2
    assert f"--model: {graphs} is an exported model, which only" in capsys.readouterr().err


def test_a_folder_that_lost_a_file(graphs, images, tmp_path, capsys):
    shutil.copytree(graphs, tmp_path / "graphs")
    (tmp_path / "graphs" / "weights.bin").unlink()
    flags = ["--vocab", VOCAB, "--model", tmp_path / "graphs", "--out", tmp_path / "preds"]
    assert segment(images, *flags) == 5
    assert "no weights.bin in it. Expected every file that odise" in capsys.readouterr().err


def test_a_graph_that_is_broken(graphs, images, tmp_path, capsys):
    shutil.copytree(graphs, tmp_path / "graphs")
    (tmp_path / "graphs" / "text.onnx").write_bytes(b"nothing")
    flags = ["--vocab", VOCAB, "--model", tmp_path / "graphs", "--out", tmp_path / "preds"]
    assert segment(images, *flags) == 5
    assert "text.onnx: onnxruntime cannot open it (" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--size", "100x64"], "--size: 100x64 is no canvas. Expected height and width that are"),
        (["--size", "100x64"], "Try --size 128x64."),
        (["--size", "0x64"], "Try --size 64x64."),
        (["--size", "big"], "--size: 'big' is no size."),
        (["--size", "512x512"], "--size: 512x512 is cut into more than 63 crops of 64 pixels."),
    ],
)
def test_canvases_that_cannot_be(model, tmp_path, capsys, more, message):
    assert export(model, "onnx", tmp_path / "out", *more) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_weights_have_no_canvas(model, tmp_path, capsys):
    assert export(model, "safetensors", tmp_path / "out", "--size", "64x64") == 2
    assert "--size: means nothing to --format safetensors" in capsys.readouterr().err


def test_cut_out_masks_are_refused_by_their_setting(model, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "model")
    config = tmp_path / "model" / "odise.json"
    config.write_text(json.dumps({**read_json(config), "clip_masks": "cropped"}))
    assert export(tmp_path / "model", "onnx", tmp_path / "out") == 2
    assert "odise.json: clip_masks is 'cropped'. Expected 'pooled'" in capsys.readouterr().err
