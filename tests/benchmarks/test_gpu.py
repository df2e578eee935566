"""The GPU benchmark from end to end on the CPU, at a size at which its figures mean nothing."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARGUMENTS = (
    *("--device", "cpu", "--size", "64", "--images", "2", "--batches", "2"),
    *("--training-batches", "1", "--precisions", "bf16", "--matrix", "32"),
    *("--repeats", "1", "--no-compile"),
)


@pytest.fixture(scope="module")
def rows(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    table = tmp_path_factory.mktemp("bench") / "rows.csv"
    # As results.csv has them: rows are put in the order of the header that is there.
    header = (ROOT / "benchmarks" / "results.csv").read_text(encoding="utf-8").splitlines()[0]
    table.write_text(header + "\n", encoding="utf-8")
    model = ("--model", str(small_model), "--record", str(table))
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), *ARGUMENTS, *model],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=500,
    )
    with table.open(newline="") as file:
        return {row["technique"]: row for row in csv.DictReader(file)}


def test_every_question_has_a_row(rows: dict[str, dict[str, str]]) -> None:
    assert set(rows) == {
        "matrix rate",
        "FLOPs of an image",
        "plain",
        "share of the bound",
        "contiguous weights",
        "channels-last weights",
        "odise segment over a folder",
        "--max-memory 8G",
        "training step, activations kept",
        "training step, activations recomputed",
        "training step, features cached",
    }
    assert {row["device"] for row in rows.values()} == {"cpu"}


def test_rows_say_what_was_measured(rows: dict[str, dict[str, str]]) -> None:
    plain, folder = rows["plain"], rows["odise segment over a folder"]
    assert (plain["batch"], plain["precision"], plain["size"]) == ("2", "bf16", "64x64")
    seconds, speed = float(plain["total_s"]), float(plain["images_per_s"])
    assert seconds * speed == pytest.approx(1, rel=0.01)
    assert folder["images"] == "2"
    assert folder["accuracy"].startswith("device busy not sampled: no GPU")
    assert int(plain["peak_rss_mib"]) > 100
    assert plain["peak_cuda_mib"] == ""
    assert float(rows["training step, features cached"]["images_per_s"]) > 0


def test_rows_say_what_their_precision_costs(rows: dict[str, dict[str, str]]) -> None:
    for technique in ("plain", "channels-last weights"):
        words = rows[technique]["accuracy"]
        images_per_s = float(rows[technique]["images_per_s"])
        share = float(words.split(" of the published speed")[0])
        assert share == pytest.approx(images_per_s / 1.26, abs=0.01)
        iou = float(words.split("mask IoU ")[1].split(",")[0])
        # bf16 moves a few pixels.
        assert 0.5 < iou < 1


def test_what_a_cpu_cannot_tell_is_not_measured(rows: dict[str, dict[str, str]]) -> None:
    assert rows["--max-memory 8G"]["accuracy"] == "limits GPUs only: not measured"
