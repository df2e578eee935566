"""`odise evaluate` with a model: the pipeline of `odise segment`, then the figures."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
from PIL import Image

from odise_cli.cli.app import main
from odise_cli.writers.layout import LOCK
from odise_cli.writers.lock import exclusive_lock
from tests.commands.truths import write_dataset
from tests.data.datasets.trees import categories_of, save, write_panoptic, write_photo
from tests.runs import read_json, segment, start_odise
from tests.writers.fakes import files_of

TIMEOUT_S = 60
COCO_OUTPUTS = "panoptic,instances,semantic"


def evaluate(*argv):
    return main(["evaluate", *map(str, argv)])


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """The flags of a miniature COCO of four images."""
    data = tmp_path_factory.mktemp("data")
    write_dataset(data, "coco")
    return ["--dataset", "coco", "--data", data]


@pytest.fixture(scope="module")
def flags(small_model):
    return ["--model", small_model, "--batch-size", 2, "--quiet"]


@pytest.fixture(scope="module")
def done(coco, flags, tmp_path_factory):
    """The folder of an evaluation with a model that nothing has interrupted."""
    out = tmp_path_factory.mktemp("done") / "out"
    assert evaluate(*coco, *flags, "--out", out) == 0
    return out


def test_both_ways_give_the_same_report(coco, done, tmp_path):
    predictions = ["--predictions", done / "predictions", "--quiet"]
    assert evaluate(*coco, *predictions, "--out", tmp_path) == 0
    for name in ("report.json", "report.md"):
        assert (tmp_path / name).read_bytes() == (done / name).read_bytes()
    report = read_json(done / "report.json")
    assert {"PQ", "mAP", "mIoU"} <= report["figures"].keys()
    assert report["protocol"]["resized_for_the_model"] == {"short_side_px": 64, "long_side_px": 160}


def test_seen_is_what_the_model_was_taught(done):
    report = read_json(done / "report.json")
    assert report["protocol"]["training_vocabulary"] == "the model's training words"
    for side in ("exact_name", "normalised_name"):
        assert report["seen_split"][side]["seen"]["num_categories"] == 1
        assert report["seen_split"][side]["unseen"]["num_categories"] == 132


def test_the_predictions_are_those_of_odise_segment(coco, flags, done, tmp_path):
    argv = [coco[-1] / "coco/val2017", "--vocab", "coco133", "--write", COCO_OUTPUTS, *flags]
    assert segment(*argv, "--out", tmp_path / "preds") == 0
    assert files_of(done / "predictions") == files_of(tmp_path / "preds")
    # The same settings: it goes on in the same folder, and has nothing to do.
    assert segment(*argv, "--out", done / "predictions") == 0


def test_images_go_by_the_dataset_s_own_ids(small_model, tmp_path):
    annotations, images = tmp_path / "x.json", tmp_path / "imgs"
    scenes = write_panoptic(annotations, tmp_path / "x", 2, categories_of("coco133"))
    for name in scenes:
        write_photo(images / name)
    document = read_json(annotations)
    for entry in document["images"]:
        entry["id"] += 7000
    for entry in document["annotations"]:
        entry["image_id"] += 7000
    annotations.write_text(json.dumps(document))
    argv = ["--dataset", "coco-panoptic", "--annotations", annotations, "--masks", tmp_path / "x"]
    argv += ["--model", small_model, "--quiet"]
    assert evaluate(*argv, "--images", images, "--out", tmp_path / "out") == 0
    found = read_json(tmp_path / "out/predictions/panoptic.json")
    assert {image["file_name"]: image["id"] for image in found["images"]} == {
        "000000000001.jpg": 7001,
        "000000000002.jpg": 7002,
    }


def test_without_the_images_no_model_can_run(tmp_path, capsys):
    fields = write_dataset(tmp_path, "coco-panoptic")
    argv = ["--annotations", fields["annotations"], "--masks", fields["masks"], "--model", "tiny"]
    assert evaluate("--dataset", "coco-panoptic", *argv, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: --images: was not given.")
    assert (
        evaluate(
            "--dataset", "coco-panoptic", *argv, "--images", tmp_path, "--out", tmp_path / "out"
        )
        == 5
    )
    err = capsys.readouterr().err
    assert "4 of 4 images of coco-panoptic are not there, such as 000000000001.jpg, 0" in err
    assert not (tmp_path / "out").exists()


def test_what_the_protocol_shrinks_is_shrunk_before_the_model_sees_it(flags, tmp_path):
    root = tmp_path / "ADE20K_2021_17_01/images/ADE/validation"
    rng = np.random.default_rng(0)
    save(root / "a/ADE_val_1.jpg", rng.integers(0, 256, (520, 600, 3), np.uint8))
    save(root / "a/ADE_val_1_seg.png", np.zeros((520, 600, 3), np.uint8))
    dataset = ["--dataset", "ade20k-full", "--data", tmp_path]
    assert evaluate(*dataset, *flags, "--out", tmp_path / "out") == 0
    # 600 / 520 · 512 = 590.8
    png = "semantic/a/ADE_val_1.png"
    with Image.open(tmp_path / "out/predictions" / png) as image:
        assert image.size == (591, 512)
    argv = [root, "--vocab", "ade847", "--write", "semantic", "--max-short-side", 512, *flags]
    assert segment(*argv, "--out", tmp_path / "preds") == 0
    assert (tmp_path / "out/predictions" / png).read_bytes() == (
        tmp_path / "preds" / png
    ).read_bytes()
    shrunk = read_json(tmp_path / "out/report.json")["protocol"]["scored_at"]
    assert shrunk == "a short side of at most 512, to which images and labels were shrunk"


def test_a_part_of_the_dataset(coco, flags, done, tmp_path):
    argv = [*coco, *flags, "--shard", "2/2", "--out", tmp_path / "out"]
    assert evaluate(*argv, "--dry-run") == 0
    assert not (tmp_path / "out").exists()
    assert evaluate(*argv) == 0
    report = read_json(tmp_path / "out/report.json")
    assert report["title"] == "coco: SUBSET of 2 of 5,000 images"
    maps = sorted(path.name for path in (tmp_path / "out/predictions/panoptic").iterdir())
    assert maps == ["000000000003.png", "000000000004.png"]
    for name in maps:
        whole, part = (
            folder / "predictions/panoptic" / name for folder in (done, tmp_path / "out")
        )
        assert whole.read_bytes() == part.read_bytes()


def test_an_image_that_cannot_be_read_is_counted_and_named(coco, flags, tmp_path, capsys):
    data = shutil.copytree(coco[-1], tmp_path / "data")
    (data / "coco/val2017/000000000002.jpg").write_bytes(b"no image")
    argv = ["--dataset", "coco", "--data", data, *flags, "--out", tmp_path / "out"]
    assert evaluate(*argv, "--fail-fast") == 3
    assert not (tmp_path / "out/report.json").exists()
    assert evaluate(*argv) == 3
    err = capsys.readouterr().err
    assert "1 of 4 images of coco failed and are left out of every figure, the first is" in err
    report = read_json(tmp_path / "out/report.json")
    assert [failure["name"] for failure in report["failures"]] == ["000000000002.jpg"]
    assert report["title"] == "coco: SUBSET of 3 of 5,000 images"
    again = ["--predictions", tmp_path / "out/predictions", "--out", tmp_path / "again"]
    assert evaluate(*argv[:4], *again) == 3
    assert read_json(tmp_path / "again/report.json") == report


def test_other_settings_and_other_runs_are_refused(coco, flags, done, capsys):
    assert evaluate(*coco, *flags, "--out", done, "--alpha", 0.9) == 2
    assert "alpha 0.3 instead of 0.9" in capsys.readouterr().err
    with exclusive_lock(done / "predictions" / LOCK):
        assert evaluate(*coco, *flags, "--out", done) == 75


def test_other_words_of_the_same_ids(coco, flags, tmp_path, capsys):
    categories = categories_of("coco133")
    lines = [f"{c.name}x | {'thing' if c.isthing else 'stuff'} id={c.id}" for c in categories]
    (tmp_path / "words.txt").write_text("\n".join(lines))
    argv = [*coco, *flags, "--limit", 1, "--vocab", tmp_path / "words.txt"]
    assert evaluate(*argv, "--out", tmp_path / "out") == 0
    err = capsys.readouterr().err
    assert "133 categories ('personx') have other words than the vocabulary of coco" in err


def test_stopped_and_killed_it_ends_with_the_same_files(coco, flags, done, tmp_path):
    out = tmp_path / "out"
    argv = ["evaluate", *coco, *flags, "--out", out]
    codes = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = start_odise(*argv, log=tmp_path / "log")
        deadline = time.monotonic() + TIMEOUT_S
        while process.is_alive() and not (out / "predictions/run.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if number == signal.SIGTERM:
            process.terminate()
        else:
            process.kill()
        process.join(TIMEOUT_S)
        codes.append(process.exitcode)
        assert not (out / "report.json").exists()
    assert codes == [143, -9]
    process = start_odise(*argv)
    process.join(TIMEOUT_S)
    assert process.exitcode == 0
    assert files_of(out / "predictions") == files_of(done / "predictions")
    figures = read_json(out / "report.json")["figures"]
    assert figures == read_json(done / "report.json")["figures"]
