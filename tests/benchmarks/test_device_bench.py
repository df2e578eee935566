"""Rows that cannot be had are rows, too; nvidia-smi's words are a share."""

import csv
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
import torch

if TYPE_CHECKING:
    from device_bench import Bench
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture
def bench(tmp_path: Path) -> "Bench":
    from device_bench import Bench

    return Bench(
        device=torch.device("cpu"),
        label="small",
        size=64,
        repeats=2,
        record=tmp_path / "rows.csv",
        deadline=time.monotonic() + 3600,
    )


def test_what_does_not_run_is_a_row(bench: "Bench", tmp_path: Path) -> None:
    header = "technique,precision,batch,images_per_s,total_s,images,peak_rss_mib,accuracy,date"
    (tmp_path / "rows.csv").write_text(f"{header},commit,model,size,torch,device,threads,cpu_s\n")

    def run_out_of_memory() -> NoReturn:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def fail() -> NoReturn:
        raise RuntimeError("no kernel image\nis available")

    def speed(technique: str, run: object) -> float:
        return bench.speed(
            technique, run, precision="bf16", batch=4, remark=lambda speed: f"{speed > 0}"
        )

    assert speed("big", run_out_of_memory) == 0
    assert speed("odd", fail) == 0
    assert 0 < speed("fine", lambda: time.sleep(0.02)) <= 4 / 0.02
    bench.deadline = 0
    assert speed("late", fail) == 0
    with (tmp_path / "rows.csv").open(newline="") as file:
        words = {row["technique"]: row["accuracy"] for row in csv.DictReader(file)}
    assert words == {
        "big": "out of memory",
        "odd": "failed: RuntimeError: no kernel image",
        "fine": "True",
        "late": "not measured: the time was up",
    }


def test_samples_are_a_mean() -> None:
    from device_bench import describe_samples

    assert describe_samples("100\n80\n96\n") == "92.0 % (3 samples of nvidia-smi)"
    assert describe_samples("[N/A]\n") == "not sampled: nvidia-smi said '[N/A]\\n'"


def test_without_a_gpu_nothing_is_sampled() -> None:
    from device_bench import BusyMeter

    meter = BusyMeter(torch.device("cpu"))
    meter.start()
    assert meter.stop() == "not sampled: no GPU, or no nvidia-smi"
