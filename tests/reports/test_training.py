import json
from dataclasses import replace
from pathlib import Path

import pytest

from odise_cli.cli.summaries import train_plan_text, train_report_text
from odise_cli.reports.training import TrainPlan, TrainReport

PLAN = TrainPlan(
    task="head",
    model="label",
    out=Path("run"),
    num_images=118287,
    num_validation_images=5000,
    num_categories=133,
    num_steps=92188,
    num_done_steps=100,
    batch_size=64,
    images_per_pass=1,
    passes_per_step=64,
    num_processes=1,
    device="cuda",
    precision="bf16",
    warnings=("3 captions are empty.",),
)
REPORT = TrainReport(
    out=Path("run"),
    task="head",
    num_trainable=28067009,
    num_frozen=1371119020,
    num_steps=100,
    num_steps_before=40,
    num_done_steps=100,
    batch_size=64,
    num_processes=2,
    device="cuda:0",
    precision="bf16",
    seconds=96.0,
    last_metrics={"step": 100, "loss": 12.345},
    last_scores={"PQ": 23.456, "mIoU": None},
)


def test_a_plan():
    # 92,188 · 64 / 118,287 = 49.88: the published 50 epochs.
    assert PLAN.num_epochs == pytest.approx(49.88, abs=0.01)
    text = train_plan_text(PLAN)
    assert "note        3 captions are empty." in text
    assert "images      118,287, 5,000 to validate on" in text
    assert "92,188, 100 already done; 64 images each, 1 at once, 64 passes; 49.9 epochs" in text
    assert text.endswith("Nothing was written.")
    assert json.loads(json.dumps(PLAN.to_json()))["num_epochs"] == PLAN.num_epochs


def test_a_report():
    assert REPORT.images_per_second == 60 * 64 / 96.0
    assert train_report_text(REPORT).splitlines() == [
        "100 of 100 steps, 40 done before",
        "96.0 s, 40 images/s on cuda:0, bf16, 2 processes",
        "parameters: 28,067,009 trained, 1,371,119,020 frozen",
        "loss at step 100: 12.35",
        "validation: PQ 23.46, mIoU –",
        "model: run",
    ]
    assert json.loads(json.dumps(REPORT.to_json()))["is_interrupted"] is False


def test_an_interrupted_run_says_how_to_go_on():
    text = train_report_text(replace(REPORT, num_done_steps=70, last_metrics={}, last_scores=None))
    assert text.splitlines()[0] == "70 of 100 steps, 40 done before"
    assert "The same command with --resume goes on" in text
    assert "model:" not in text
    assert "loss" not in text
