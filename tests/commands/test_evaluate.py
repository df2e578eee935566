"""Saved predictions against ground truth, as `odise evaluate` scores them."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from odise_cli.commands import scoring
from odise_cli.commands.dataset_source import open_dataset
from odise_cli.commands.evaluate import run_evaluate, self_check
from odise_cli.config import EvaluateConfig, Shard
from odise_cli.errors import ImageError, MissingDataError, TryAgainError, UsageError
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.run_folder import RunFolder
from tests.commands.truths import DATASET_NAMES, NUM_IMAGES, truth_run, write_dataset, write_truth
from tests.data.datasets.trees import write_photo

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def evaluate(fields, **changes):
    """The report, and what the user was told."""
    notices, progress = [], []
    report = run_evaluate(
        EvaluateConfig(**{**fields, **changes}),
        on_notice=notices.append,
        on_progress=lambda *counts: progress.append(counts),
        should_stop=lambda: False,
    )
    assert progress[-1] == (report.num_images, 0, report.num_images)
    assert list(report.notices) == notices
    return report, notices


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_ground_truth_against_itself_is_exactly_100(tmp_path, name):
    report, notices = evaluate(truth_run(tmp_path, name))
    measured = {figure: value for figure, value in report.figures.items() if value is not None}
    assert set(measured.values()) == {100.0}
    # As the design's table has it.
    panoptic, precision = {"PQ", "PQ_things", "PQ_stuff"}, {"mAP", "AP50", "AP75"}
    wanted = {
        "ade20k": {*panoptic, *precision, "AR@100", "mIoU"},
        "coco": {*panoptic, *precision, "mIoU"},
        "coco-panoptic": {*panoptic, *precision, "mIoU"},
        "cityscapes": {*panoptic, *precision, "mIoU"},
        "mapillary": {*panoptic, "mIoU"},
        "lvis": {*precision, "AP_r", "AP_c", "AP_f"},
        "uvo": {"AR@100"},
    }.get(name, {"mIoU"})
    assert wanted <= set(measured)
    for headline in ("PQ", "mAP", "mIoU", "AR@100", "AP_r"):
        assert (headline in report.figures) == (headline in wanted)
    assert notices == []
    assert report.num_images == NUM_IMAGES


@pytest.mark.parametrize("name", ["ade20k", "voc21", "coco-panoptic"])
def test_real_ground_truth_against_itself_is_exactly_100(tmp_path, shared, name):
    data = shared / "data"
    pair = data / "coco_panoptic_sample" / "panoptic_examples"
    fields = {
        "ade20k": {"data": data / "ade20k_sample"},
        "voc21": {"data": data / "voc_sample"},
        "coco-panoptic": {"annotations": pair.with_suffix(".json"), "masks": pair},
    }[name]
    source = open_dataset(EvaluateConfig(dataset=name, **fields))
    write_truth(source, tmp_path / "preds", outputs=source.dataset.outputs)
    report, notices = evaluate({"dataset": name, **fields}, predictions=tmp_path / "preds")
    assert {value for value in report.figures.values() if value is not None} == {100.0}
    assert ("mAP" in report.figures) == ("instances" in source.dataset.outputs)
    assert notices == []


def test_a_disturbed_prediction_costs_what_arithmetic_says(tmp_path):
    fields = truth_run(tmp_path, "voc21")
    path = tmp_path / "preds/semantic/2007_000000.png"
    values = np.asarray(Image.open(path)).copy()
    values[values == 1] = 15
    Image.fromarray(values).save(path)
    truths = [
        np.asarray(Image.open(path)).astype(int)
        for path in sorted((tmp_path / "data").rglob("SegmentationClass/*.png"))
    ]
    swapped = int((truths[0] == 1).sum())
    of_value = {
        value: sum(int((truth == value).sum()) for truth in truths) for value in (0, 1, 15, 20)
    }
    assert swapped > 0
    ious = [
        1.0,
        (of_value[1] - swapped) / of_value[1],
        of_value[15] / (of_value[15] + swapped),
        1.0,
    ]
    report, _ = evaluate(fields)
    assert report.figures["mIoU"] == pytest.approx(100 * sum(ious) / 4)
    correct = 1 - swapped / sum(of_value.values())
    assert report.figures["pixel_accuracy"] == pytest.approx(100 * correct)


def test_a_subset_says_so_and_leaves_predictions_out_aloud(tmp_path):
    fields = truth_run(tmp_path, "coco-panoptic")
    whole, _ = evaluate(fields)
    assert (whole.title, whole.is_subset) == ("coco-panoptic: 4 images", False)
    report, notices = evaluate(fields, limit=3)
    assert (report.title, report.is_subset) == ("coco-panoptic: SUBSET of 3 of 4 images", True)
    assert notices == [
        f"{tmp_path / 'preds'}: 1 predictions belong to no image that is scored "
        "('000000000004.jpg') and are left out."
    ]
    few, _ = evaluate(truth_run(tmp_path / "voc", "voc21"))
    assert few.title == "voc21: SUBSET of 4 of 1,449 images"


def test_what_predictions_do_not_hold_is_not_measured_and_said(tmp_path):
    fields = write_dataset(tmp_path / "data", "ade20k")
    source = open_dataset(EvaluateConfig(**fields))
    write_truth(source, tmp_path / "preds", outputs=("panoptic",))
    report, notices = evaluate(fields, predictions=tmp_path / "preds")
    assert report.figures["PQ"] == 100.0
    assert not {"mAP", "mIoU"} & set(report.figures)
    assert notices == [
        f"mAP is not measured: {tmp_path / 'preds'} holds no instances (--write instances).",
        f"mIoU is not measured: {tmp_path / 'preds'} holds no semantic (--write semantic).",
    ]


def test_predictions_of_another_kind_are_refused(tmp_path):
    fields = write_dataset(tmp_path / "data", "voc21")
    source = open_dataset(EvaluateConfig(**fields))
    write_truth(source, tmp_path / "preds", outputs=("panoptic",))
    message = (
        r"preds: holds panoptic, of which voc21 has no ground truth\. Expected semantic\. "
        r"Segment again with --write semantic\."
    )
    with pytest.raises(UsageError, match=message):
        evaluate(fields, predictions=tmp_path / "preds")


def test_images_that_failed_are_left_out_counted_and_named(tmp_path):
    fields = truth_run(tmp_path, "label-png", failing=(2, 3))
    report, notices = evaluate(fields)
    # Sorted as a search for images would: a/0, a/2, b/1, b/3.
    assert notices == [
        f"{tmp_path / 'preds'}: 2 of 4 images of label-png failed and are left out of every "
        "figure, the first is 'a/2.png': is truncated"
    ]
    assert report.failures == (("a/2.png", "is truncated"), ("b/1.png", "is truncated"))
    assert (report.title, report.exit_code) == ("label-png: SUBSET of 2 of 4 images", 3)
    assert report.to_json()["failures"][0] == {"name": "a/2.png", "error": "is truncated"}
    assert report.figures["mIoU"] == 100.0
    whole, _ = evaluate(fields, limit=1)
    assert (whole.failures, whole.exit_code) == ((), 0)


def test_nothing_is_scored_where_all_images_failed(tmp_path):
    fields = truth_run(tmp_path, "voc21", failing=(1, 2, 3, 4))
    with pytest.raises(
        ImageError, match=r"preds: all 4 images of voc21 failed, .* is '2007_000000"
    ):
        evaluate(fields)


def test_a_shard_is_a_subset(tmp_path):
    fields = truth_run(tmp_path, "label-png", failing=(1,))
    report, notices = evaluate(fields, shard=Shard(index=2, count=2), limit=1)
    assert report.title == "label-png: SUBSET of 1 of 4 images"
    assert report.images["worst"][0]["name"] == "b/1.png"
    assert ["3 predictions belong to no image" in notice for notice in notices] == [True]


@pytest.mark.parametrize("name", ["ade20k", "coco", "lvis", "uvo"])
def test_several_processes_give_the_same_report(tmp_path, monkeypatch, name):
    fields = truth_run(tmp_path, name, failing=(2,))
    expected, _ = evaluate(fields)
    monkeypatch.setattr(scoring, "CHUNK", 1)
    monkeypatch.setattr(scoring, "MIN_CHUNKS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert evaluate(fields)[0].to_json() == expected.to_json()
    assert {"PQ", "mAP", "AP", "AR@100"} & expected.figures.keys()


def test_asked_to_stop_there_is_no_report(tmp_path):
    fields = truth_run(tmp_path, "voc21")
    stopped = run_evaluate(
        EvaluateConfig(**fields, out=tmp_path / "report"),
        on_notice=lambda _: None,
        on_progress=lambda *_: None,
        should_stop=lambda: True,
    )
    assert stopped is None
    assert not (tmp_path / "report").exists()


def test_a_prediction_of_another_size_is_refused(tmp_path):
    fields = truth_run(tmp_path, "voc21")
    path = tmp_path / "preds/semantic/2007_000002.png"
    Image.fromarray(np.zeros((44, 30), np.uint16)).save(path)
    message = r"'2007_000002\.jpg' is \(44, 30\) \(height, width\), its ground truth is \(30, 44\)"
    with pytest.raises(UsageError, match=message):
        evaluate(fields)


def test_a_panoptic_map_that_was_changed_is_refused(tmp_path):
    fields = truth_run(tmp_path, "coco-panoptic")
    path = tmp_path / "preds/panoptic/000000000002.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] = (77, 0, 0)
    Image.fromarray(pixels).save(path)
    with pytest.raises(UsageError, match=r"0002\.png: has pixels of the segment id 77, which"):
        evaluate(fields)


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    fields = write_dataset(tmp_path / "data", "voc21")
    source = open_dataset(EvaluateConfig(**fields))
    run = RunFolder.open(
        tmp_path / "preds",
        settings={},
        info={},
        categories=source.vocabulary.categories,
        outputs=("semantic",),
        overwrite=False,
    )
    with run, pytest.raises(TryAgainError, match="preds: in use by another run"):
        evaluate(fields, predictions=tmp_path / "preds")
    with pytest.raises(UsageError, match="preds: its run has not finished"):
        evaluate(fields, predictions=tmp_path / "preds")


def test_another_vocabulary_is_refused(tmp_path):
    fields = truth_run(tmp_path, "label-png")
    message = r"id 3 is 'cat' \(thing\) instead of 'tiger' \(thing\)\. Expected the same ids"
    with pytest.raises(UsageError, match=message):
        evaluate(fields, vocab=("tiger | id=3; sky | stuff id=300; door | id=7",))


def test_other_synonyms_are_allowed_and_said(tmp_path):
    fields = truth_run(tmp_path, "label-png")
    report, notices = evaluate(
        fields, vocab=("cat, kitten | id=3; sky | stuff id=300; door | id=7",)
    )
    assert report.figures["mIoU"] == 100.0
    assert ["1 categories ('cat') have other words" in notice for notice in notices] == [True]


def test_the_report_states_its_protocol(tmp_path):
    report, _ = evaluate(truth_run(tmp_path, "ade20k"), out=tmp_path / "report")
    with FinishedRun.open(tmp_path / "preds") as run:
        assert report.protocol["predictions_settings_sha256"] == run.run.sha256
    assert report.protocol["resized_for_the_model"] == {
        "short_side_px": 1024,
        "long_side_px": 2560,
    }
    assert report.protocol["vocabulary"] == ["ade150"]
    source = open_dataset(EvaluateConfig(dataset="ade20k", data=tmp_path / "data"))
    assert report.protocol["vocabulary_sha256"] == source.vocabulary.sha256
    assert report.protocol["predictions_vocabulary_sha256"] == source.vocabulary.sha256
    # Drawn were bed, windowpane, flag, wall and sky; flag and windowpane as instances only.
    assert len(report.without_truth["panoptic"]) == 145
    assert "wall" not in report.without_truth["semantic"]
    assert report.published["label"]["PQ"] == 22.6
    document = json.loads((tmp_path / "report/report.json").read_text())
    assert document == report.to_json()
    assert document["schema"] == "odise-evaluation/1"
    markdown = (tmp_path / "report/report.md").read_text()
    assert markdown == report.to_markdown()


@pytest.mark.parametrize("name", ["ade20k", "voc21", "label-png"])
def test_the_page_shows_the_ranked_images(tmp_path, name):
    report, _ = evaluate(truth_run(tmp_path, name), out=tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    assert f"<h1>{report.title}</h1>" in page
    # Four images, two at either end; label maps alone have no photographs.
    assert [len(report.images[end]) for end in ("worst", "best")] == [2, 2]
    num_photos = 0 if name == "label-png" else 4
    assert page.count('src="data:image/jpeg;base64,') == 8 + num_photos
    assert page.count("The photograph was not found.") == 4 - num_photos


def test_photographs_are_those_that_were_segmented(tmp_path):
    fields = write_dataset(tmp_path / "data", "label-png")
    source = open_dataset(EvaluateConfig(**fields))
    write_truth(source, tmp_path / "preds", outputs=("semantic",), root=tmp_path / "photos")
    for image_name in source.dataset.image_names[1:]:
        write_photo((tmp_path / "photos" / image_name).with_suffix(".jpg"))
    evaluate(fields, predictions=tmp_path / "preds", out=tmp_path / "report")
    page = (tmp_path / "report/report.html").read_text()
    assert page.count("The photograph was not found.") == 1


def test_a_name_that_is_no_text_stops_no_report(tmp_path):
    fields = write_dataset(tmp_path, "voc21")
    source = open_dataset(EvaluateConfig(**fields))
    folder = tmp_path / os.fsdecode(b"\xff<b>")
    write_truth(source, folder, outputs=("semantic",))
    evaluate(fields, predictions=folder, out=tmp_path / "report")
    assert "/?&lt;b&gt;, model label" in (tmp_path / "report/report.html").read_text()
    assert "/?\\<b>, model label" in (tmp_path / "report/report.md").read_text()


def test_seen_and_unseen_categories_stand_apart(tmp_path):
    fields = truth_run(tmp_path, "label-png")
    path = next(iter(sorted((tmp_path / "preds/semantic").rglob("*.png"))))
    values = np.asarray(Image.open(path)).copy()
    values[values == 2] = 65_535
    Image.fromarray(values).save(path)
    report, _ = evaluate(fields)
    # cat, sky and door are all words of coco133.
    seen = report.seen_split["exact_name"]["seen"]
    assert (seen["num_categories"], seen["num_with_truth"]) == (3, 3)
    assert seen["mIoU"] == report.figures["mIoU"] < 100.0
    assert report.seen_split["exact_name"]["unseen"] == {
        "num_categories": 0,
        "num_with_truth": 0,
        "mIoU": None,
    }


def test_a_model_of_other_words_says_what_it_has_seen(tmp_path):
    fields = truth_run(tmp_path, "label-png")
    path = tmp_path / "preds/run.json"
    document = json.loads(path.read_text())
    document["settings"]["model"] = {"training_words": ["cat", "kitten"]}
    path.write_text(json.dumps(document))
    report, _ = evaluate(fields)
    assert report.seen_split["exact_name"]["seen"]["num_categories"] == 1
    assert report.seen_split["exact_name"]["unseen"]["num_categories"] == 2
    assert report.protocol["training_vocabulary"] == "the model's training words"


def test_the_self_check_of_a_dataset(tmp_path):
    config = EvaluateConfig(**write_dataset(tmp_path, "coco-panoptic"))
    assert self_check(config).exit_code == 0
    (tmp_path / "x/000000000001.png").unlink()
    report = self_check(config)
    assert report.exit_code == 5
    assert report.to_json()["counts"][1]["missing"] == ["000000000001.png"]


def test_a_dataset_without_images_is_missing(tmp_path):
    for part in ("annotations/validation", "annotations_instance/validation"):
        (tmp_path / "ADEChallengeData2016" / part).mkdir(parents=True)
    message = "--dataset ade20k: has no ground truth of any image. .* --self-check"
    with pytest.raises(MissingDataError, match=message):
        evaluate({"dataset": "ade20k", "data": tmp_path}, predictions=tmp_path)
