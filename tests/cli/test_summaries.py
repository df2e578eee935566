from pathlib import Path

import pytest

from odise_cli.cli.summaries import (
    failures_text,
    segment_plan_text,
    segment_report_text,
    size_text,
)
from odise_cli.reports.segmentation import SegmentPlan, SegmentReport

FACTS = {
    "out": Path("preds"),
    "num_selected": 100,
    "num_finished_before": 40,
    "num_done": 58,
    "num_failed": 2,
    "num_skipped_files": 3,
    "num_segments": 1234,
    "seconds": 14.5,
    "stage_ms": {"decode": 1200.0, "features": 8640.0},
    "num_batch_halvings": 1,
    "first_failures": (("a/b.jpg", "it is truncated"), ("c.png", "it is empty")),
}


def test_a_report_says_everything_that_happened():
    assert segment_report_text(SegmentReport(**FACTS)).splitlines() == [
        "100 images: 58 done, 40 done before, 2 failed; 1234 segments (3 files skipped: no images)",
        "14.5 s, 4 images/s",
        "seconds by stage: decode 1.2, features 8.6",
        "batches halved for want of memory: 1",
        "results: preds",
    ]


def test_a_report_says_nothing_about_what_did_not_happen():
    plain = {
        "num_finished_before": 0,
        "num_failed": 0,
        "num_skipped_files": 0,
        "num_done": 100,
        "stage_ms": {},
        "num_batch_halvings": 0,
        "first_failures": (),
        "is_interrupted": True,
    }
    report = SegmentReport(**FACTS | plain)
    assert segment_report_text(report).splitlines() == [
        "100 images: 100 done; 1234 segments",
        "14.5 s, 6.9 images/s",
        "results: preds",
        "Interrupted. The same command goes on where this one stopped.",
    ]
    assert failures_text(report) is None


def test_a_run_that_had_nothing_to_do_claims_no_speed():
    idle = {"num_done": 0, "num_failed": 0, "num_segments": 0, "stage_ms": {}}
    report = SegmentReport(**FACTS | idle | {"num_batch_halvings": 0, "num_finished_before": 100})
    assert segment_report_text(report).splitlines() == [
        "100 images: 0 done, 100 done before; 0 segments (3 files skipped: no images)",
        "results: preds",
    ]


def test_failures_are_shown_up_to_a_point():
    assert failures_text(SegmentReport(**FACTS)).splitlines() == [
        "2 of 100 images without a result, listed in preds/failures.txt:",
        "  a/b.jpg: it is truncated",
        "  c.png: it is empty",
    ]
    many = tuple((f"{i}.jpg", "it is empty") for i in range(7))
    report = SegmentReport(**FACTS | {"num_failed": 9, "first_failures": many})
    lines = failures_text(report).splitlines()
    assert lines[0].startswith("9 of 100 images")
    assert lines[1:] == [*(f"  {i}.jpg: it is empty" for i in range(5)), "  and 4 more"]


def test_failures_of_an_interrupted_run_are_only_in_the_manifest():
    report = SegmentReport(**FACTS | {"is_interrupted": True})
    assert failures_text(report).startswith(
        "2 of 100 images without a result, listed in preds/manifest.jsonl:"
    )


def test_a_plan():
    plan = SegmentPlan(
        num_images=400,
        num_selected=100,
        num_finished=40,
        num_skipped_files=3,
        num_categories=150,
        model="tiny",
        outputs=("panoptic", "overlay"),
        out=Path("preds"),
        estimated_bytes=30 * 2**20,
    )
    assert segment_plan_text(plan).splitlines() == [
        "images      400 found, 100 selected, 40 already done (3 files skipped: no images)",
        "categories  150",
        "model       tiny",
        "output      preds: panoptic.json, panoptic/, overlays/",
        "disk        about 30.0 MiB",
        "Nothing was written.",
    ]


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (200 * 2**20, "200 MiB"),
        (5 * 2**40, "5.0 TiB"),
        (5000 * 2**40, "5000 TiB"),
    ],
)
def test_size_text(num_bytes, text):
    assert size_text(num_bytes) == text
