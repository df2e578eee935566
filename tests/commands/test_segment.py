"""What `odise segment` writes, and that nothing but its settings decides it."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from hotcoco.panoptic import PanopticEval
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from odise_cli import __version__
from odise_cli.commands import segment as segment_command
from tests.runs import (
    ALL_OUTPUTS,
    TREE,
    VOCAB,
    panoptic_ids,
    read_json,
    read_lines,
    segment,
    segments_of,
)

# pycocotools 2.0.11 has not caught up with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

STEMS = ["a/x.jpg", "a/x.png", "b/2", "b/10", "top"]
SIZES = [(48, 64), (48, 64), (64, 48), (48, 64), (48, 64)]


def annotations_by_stem(preds):
    document = read_json(preds / "panoptic.json")
    return {a["file_name"].removesuffix(".png"): a for a in document["annotations"]}


def test_the_tree_of_the_images_is_mirrored(preds):
    files = {path.relative_to(preds).as_posix() for path in preds.rglob("*") if path.is_file()}
    assert files == {
        *(f"panoptic/{stem}.png" for stem in STEMS),
        *(f"semantic/{stem}.png" for stem in STEMS),
        *(f"overlays/{stem}.jpg" for stem in STEMS),
        *("panoptic.json", "instances.json", "semantic/labels.json", "segments.jsonl"),
        *("manifest.jsonl", "failures.txt", "run.json", ".odise/lock", ".odise/journal.jsonl"),
    }
    assert (preds / "failures.txt").read_bytes() == b""


def test_panoptic_maps_and_their_json_agree(preds):
    document = read_json(preds / "panoptic.json")
    assert document["images"] == [
        {"id": number, "file_name": name, "width": width, "height": height}
        for number, (name, (height, width)) in enumerate(zip(TREE, SIZES, strict=True), start=1)
    ]
    assert [category["name"] for category in document["categories"]] == ["cat", "tree", "sky"]
    assert [category["isthing"] for category in document["categories"]] == [1, 0, 1]
    assert [a["image_id"] for a in document["annotations"]] == [1, 2, 3, 4, 5]
    assert [a["file_name"] for a in document["annotations"]] == [f"{stem}.png" for stem in STEMS]
    for annotation, (height, width) in zip(document["annotations"], SIZES, strict=True):
        with Image.open(preds / "panoptic" / annotation["file_name"]) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (width, height))
        ids_HW = panoptic_ids(preds / "panoptic" / annotation["file_name"])
        infos = annotation["segments_info"]
        assert [info["id"] for info in infos] == list(range(1, len(infos) + 1))
        assert set(np.unique(ids_HW)) - {0} == {info["id"] for info in infos}
        for info in infos:
            rows, columns = np.nonzero(ids_HW == info["id"])
            left, top = columns.min(), rows.min()
            box = [left, top, columns.max() - left + 1, rows.max() - top + 1]
            assert (info["area"], info["bbox"]) == (len(rows), box)
            assert info["category_id"] in {1, 2, 3}
            assert 0 < info["score"] < 1
    categories = {i["category_id"] for a in document["annotations"] for i in a["segments_info"]}
    assert len(categories) > 1


def test_the_official_reader_finds_the_run_equal_to_itself(preds):
    evaluation = PanopticEval(preds / "panoptic.json", preds / "panoptic.json")
    evaluation.evaluate()
    results = evaluation.results()["All"]
    assert (results["pq"], results["sq"], results["rq"]) == (1.0, 1.0, 1.0)


def test_stuff_has_one_segment_an_image(preds):
    for annotation in read_json(preds / "panoptic.json")["annotations"]:
        trees = [info for info in annotation["segments_info"] if info["category_id"] == 2]
        assert len(trees) <= 1


def test_pycocotools_loads_the_instances(preds, capsys):
    document = read_json(preds / "panoptic.json")
    truth = COCO()
    truth.dataset = {**document, "annotations": []}
    truth.createIndex()
    loaded = truth.loadRes(str(preds / "instances.json"))
    for image in document["images"]:
        annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[image["id"]]))
        assert 0 < len(annotations) <= 100
        scores = [annotation["score"] for annotation in annotations]
        assert scores == sorted(scores, reverse=True)
        for annotation in annotations:
            assert annotation["category_id"] in {1, 3}  # "tree" is stuff
            mask_HW = loaded.annToMask(annotation)
            assert mask_HW.shape == (image["height"], image["width"])
            left, top, width, height = map(int, annotation["bbox"])
            assert mask_HW[top : top + height, left : left + width].sum() == mask_HW.sum() > 0


def test_semantic_maps_are_16_bit_indices(preds):
    labels = read_json(preds / "semantic" / "labels.json")
    assert labels["void"] == 65535
    entries = [(c["index"], c["id"], c["name"], c["isthing"]) for c in labels["categories"]]
    assert entries == [(0, 1, "cat", 1), (1, 2, "tree", 0), (2, 3, "sky", 1)]
    for stem, (height, width) in zip(STEMS, SIZES, strict=True):
        with Image.open(preds / "semantic" / f"{stem}.png") as image:
            assert (image.format, image.mode, image.size) == ("PNG", "I;16", (width, height))
            assert set(np.unique(np.asarray(image))) <= {0, 1, 2, 65535}


def test_overlays_have_the_size_of_their_images(preds, tree):
    for name, stem, (height, width) in zip(TREE, STEMS, SIZES, strict=True):
        with Image.open(preds / "overlays" / f"{stem}.jpg") as overlay:
            assert (overlay.format, overlay.mode, overlay.size) == ("JPEG", "RGB", (width, height))
            with Image.open(tree / name) as image:
                assert np.asarray(image).shape == np.asarray(overlay).shape


def test_segments_say_what_the_panoptic_maps_show(preds):
    lines = read_lines(preds / "segments.jsonl")
    annotations = annotations_by_stem(preds)
    infos = [
        (name, a["image_id"], info["id"], info["category_id"], info["area"], info["bbox"])
        for name, a in zip(TREE, annotations.values(), strict=True)
        for info in a["segments_info"]
    ]
    keys = ("image", "image_id", "segment_id", "category_id", "area", "bbox")
    assert [tuple(line[key] for key in keys) for line in lines] == infos
    stem_of = dict(zip(TREE, STEMS, strict=True))
    for line in lines:
        ids_HW = panoptic_ids(preds / "panoptic" / f"{stem_of[line['image']]}.png")
        mask_HW = coco_mask.decode(line["segmentation"])
        assert ((ids_HW == line["segment_id"]) == mask_HW).all()
        probabilities = [a["probability"] for a in line["alternatives"]]
        assert probabilities == sorted(probabilities, reverse=True)
        best = line["alternatives"][0]
        # The segment competes with "no object" too, which is none of the alternatives.
        assert (best["category"], len(probabilities)) == (line["category"], 3)
        assert best["probability"] == pytest.approx(line["score"])


def test_the_manifest_has_a_line_for_each_image(preds):
    lines = read_lines(preds / "manifest.jsonl")
    facts = [(line["name"], line["stem"], line["image_id"], line["size"]) for line in lines]
    assert facts == [
        (name, stem, number, list(size))
        for number, (name, stem, size) in enumerate(zip(TREE, STEMS, SIZES, strict=True), start=1)
    ]
    stages = ["decode", "features", "masks", "classify", "postprocess", "write"]
    assert all(list(line["ms"]) == stages for line in lines)
    assert all(ms > 0 for line in lines for ms in line["ms"].values())
    counts = [len(a["segments_info"]) for a in annotations_by_stem(preds).values()]
    assert [line["num_segments"] for line in lines] == counts


def test_run_json_says_what_the_run_was(preds, tree, small_model):
    run = read_json(preds / "run.json")
    settings = run["settings"]
    assert settings["root"] == str(tree)
    assert settings["write"] == ALL_OUTPUTS.split(",")
    assert (settings["device"], settings["precision"], settings["batch_size"]) == ("cpu", "fp32", 2)
    assert (settings["seed"], settings["alpha"], settings["beta"]) == (42, 0.3, 0.7)
    thresholds = ("overlap_threshold", "object_mask_threshold", "unknown_threshold")
    assert [settings[name] for name in thresholds] == [0.8, 0.0, 0.0]
    head = (small_model / "head.safetensors").read_bytes()
    assert hashlib.sha256(head).hexdigest() in settings["weights"].values()
    assert len(settings["weights"]) == len(list(small_model.rglob("*.safetensors")))
    decisive = {"settings": settings, "vocabulary": run["vocabulary"]}
    text = json.dumps(decisive, sort_keys=True)
    assert run["settings_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert [entry["name"] for entry in run["vocabulary"]] == ["cat", "tree", "sky"]
    assert run["vocabulary"][0]["synonyms"] == ["kitten"]
    info = run["info"]
    assert info["odise"] == __version__
    assert info["packages"]["torch"] == torch.__version__
    assert info["notice"] == "A small model for tests."
    assert (info["model"], info["vocab"]) == (str(small_model), [VOCAB])
    totals = run["totals"]
    assert (totals["num_selected"], totals["num_done"], totals["num_failed"]) == (5, 5, 0)
    assert totals["num_skipped_files"] == 1
    assert totals["num_segments"] == len(segments_of(preds))
    assert totals["seconds"] > 0


def test_the_report_is_the_same_as_json_and_in_run_json(row, flags, tmp_path, capsys):
    out = tmp_path / "preds"
    assert segment(row, *flags, "--out", out, "--limit", 2, "--json") == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["out"] == str(out)
    assert report["num_selected"] == report["num_done"] == 2
    assert report == read_json(out / "run.json")["totals"]


def test_the_notice_is_said_once(row, small_model, tmp_path, capsys):
    out = tmp_path / "preds"
    assert segment(row, "--vocab", "cat", "--model", small_model, "--limit", 2, "--out", out) == 0
    assert capsys.readouterr().err.count("A small model for tests.") == 1


def test_progress_counts_every_image_with_failures(row, small_model, tmp_path):
    images = shutil.copytree(row, tmp_path / "imgs")
    (images / "000000000030.png").write_bytes(b"")
    config = segment_command.SegmentConfig(
        sources=(str(images),), vocab=("cat",), model=str(small_model), out=tmp_path / "preds"
    )
    seen = []
    report = segment_command.run_segment(
        config,
        on_notice=lambda _: None,
        on_progress=lambda *counts: seen.append(counts),
        should_stop=lambda: False,
    )
    assert seen[0] == (0, 0, 8)
    assert [done + failed for done, failed, _ in seen] == list(range(9))
    assert seen[-1] == (7, 1, 8)
    assert (report.num_done, report.num_failed, report.exit_code) == (7, 1, 3)
