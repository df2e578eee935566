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
        "protocol",
        "notices",
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
    assert (
        "- images: 1,449 of 1,449, scored at the size of the ground truth; the model saw a short "
        "side of 1024, a long side of at most 2560"
    ) in lines


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
