import json
from dataclasses import replace
from pathlib import Path

import pytest

from odise_cli.reports.evaluation import EvaluationReport, SelfCheckReport
from odise_cli.structures import Count

REPORT = EvaluationReport(
    dataset="voc21",
    num_images=1449,
    num_dataset_images=1449,
    figures={"PQ": 40.0, "PQ_with_truth": 50.0, "mIoU": 12.3456, "fwIoU": None},
    published={"label": {"mIoU": 84.6}, "caption": {"mIoU": 82.7}},
    seen_split={
        "exact_name": {
            "seen": {"num_categories": 14, "num_with_truth": 5, "mIoU": 20.0},
            "unseen": {"num_categories": 7, "num_with_truth": 0, "mIoU": None},
        }
    },
    categories=[
        {"id": 0, "name": "a|b", "isthing": False, "IoU": 12.3456, "num_true_px": 12345},
        {"id": 1, "name": "c", "isthing": True, "IoU": None, "num_true_px": 0},
    ],
    without_truth={"semantic": ["c"]},
    confusions={
        "panoptic": [{"true": "a|b", "predicted": "c", "num_segments": 1234, "cost": 0.5}],
        "semantic": [{"true": "c", "predicted": None, "num_px": 7, "cost": 0.25}],
    },
    images={
        "measure": "PQ",
        "worst": [{"name": "x/1.jpg", "value": 1.0}],
        "best": [{"name": "<b>.jpg", "value": 99.0}],
    },
    protocol={
        "scored_at": "the size of the ground truth",
        "resized_for_the_model": {"short_side_px": 1024, "long_side_px": 2560},
        "vocabulary": ["voc21"],
        "num_categories": 21,
        "vocabulary_sha256": "a" * 64,
        "predictions": "preds",
        "predictions_settings_sha256": "b" * 64,
        "model": "tiny",
        "rules": {"PQ": "…", "mAP": "…", "mIoU": "one matrix"},
    },
    notices=("mind this",),
    out=Path("report"),
)


def test_a_subset_says_so_in_its_title():
    assert REPORT.title == "voc21: 1,449 images"
    subset = replace(REPORT, num_images=3)
    assert subset.title == "voc21: SUBSET of 3 of 1,449 images"
    assert subset.to_json()["is_subset"] is True
    assert subset.to_markdown().startswith("# voc21: SUBSET of 3 of 1,449 images\n")


def test_published_figures_stand_beside_ours_under_their_name():
    columns, rows = REPORT.headline_table()
    assert columns == ["figure", "this run", "published (label)", "published (caption)"]
    assert rows == [
        ["PQ", "40.00", "–", "–"],
        ["PQ_with_truth", "50.00", "–", "–"],
        ["mIoU", "12.35", "84.60", "82.70"],
        ["fwIoU", "–", "–", "–"],
    ]


def test_a_published_model_stands_beside_its_own_figures_only():
    report = replace(REPORT, protocol={**REPORT.protocol, "model": "caption"})
    assert report.headline_table()[0] == ["figure", "this run", "published (caption)"]


def test_figures_that_say_the_same_twice_are_shown_once():
    report = replace(REPORT, figures={"PQ": 40.0, "PQ_with_truth": 40.0})
    assert [row[0] for row in report.headline_table()[1]] == ["PQ"]
    assert report.to_json()["figures"]["PQ_with_truth"] == 40.0


def test_the_schema_of_the_json_is_stable():
    document = REPORT.to_json()
    json.dumps(document, allow_nan=False)
    assert list(document) == [
        "schema",
        "title",
        "dataset",
        "is_subset",
        "num_images",
        "num_dataset_images",
        "unit",
        "figures",
        "published",
        "seen_split",
        "without_truth",
        "confusions",
        "images",
        "protocol",
        "notices",
        "failures",
        "categories",
    ]
    assert document["schema"] == "odise-evaluation/1"
    assert document["published"]["note"] == "measured by others on the whole dataset"
    assert document["without_truth"] == {"semantic": ["c"]}


def test_markdown():
    lines = REPORT.to_markdown().splitlines()
    assert "> mind this" in lines
    assert "| mIoU | 12.35 | 84.60 | 82.70 |" in lines
    assert "| unseen by exact name | 7 | 0 | – |" in lines
    assert "| 0 | a\\|b | stuff | 12.35 | 12,345 |" in lines
    assert "- without ground truth (semantic): 1 categories" in lines
    assert "- mIoU: one matrix" in lines
    assert "## Wrong names that cost most PQ" in lines
    assert "| a\\|b | c | 1,234 | 0.50 |" in lines
    assert "| c | (nothing) | 7 | 0.25 |" in lines
    assert "## Images with the worst PQ of their own" in lines
    assert "| x/1.jpg | 1.00 |" in lines
    assert "| \\<b>.jpg | 99.00 |" in lines
    assert "1 category without ground truth (semantic): in no average: c." in lines
    assert (
        "- images: 1,449 of 1,449, scored at the size of the ground truth; the model saw a short "
        "side of 1024, a long side of at most 2560"
    ) in lines


def test_published_figures_are_said_to_be_of_the_whole_dataset():
    assert REPORT.published_note == (
        "Published figures were measured by others on the whole dataset."
    )
    subset = replace(REPORT, num_images=3)
    assert subset.published_note.endswith("a subset: its figures do not compare with them.")
    assert subset.published_note in subset.to_markdown()
    unknown = replace(REPORT, published={})
    assert unknown.published_note == "Nobody's published figures are known for this dataset."


def test_a_name_cannot_break_out_of_its_cell_in_markdown():
    row = {"id": 0, "name": "a\n\\|<script>&lt;", "isthing": True, "IoU": None}
    report = replace(REPORT, categories=[row], confusions={"semantic": []})
    lines = report.to_markdown().splitlines()
    assert "| 0 | a \\\\\\|\\<script>\\&lt; | thing | – |" in lines
    assert not [line for line in lines if "Wrong names" in line]


@pytest.mark.parametrize(
    ("count", "is_complete"),
    [
        (Count(what="x", found=3, published=3), True),
        (Count(what="x", found=3, published=None), True),
        (Count(what="x", found=2, published=3), False),
        (Count(what="x", found=3, published=3, missing=("a",)), False),
    ],
)
def test_a_self_check_passes_if_nothing_is_missing(count, is_complete):
    report = SelfCheckReport(dataset="voc21", counts=(Count(what="y", found=1, published=1), count))
    assert report.exit_code == (0 if is_complete else 5)
    assert report.to_json()["is_complete"] is is_complete
