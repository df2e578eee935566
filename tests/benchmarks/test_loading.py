"""The loading benchmark from end to end: one run of a small model, and its row."""

import csv
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_loading_and_imports_are_told_apart(small_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "rows.csv"
    header = (ROOT / "benchmarks" / "results.csv").read_text(encoding="utf-8").splitlines()[0]
    table.write_text(header + "\n", encoding="utf-8")
    arguments = ("--model", str(small_model), "--runs", "1", "--record", str(table))
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "loading.py"), *arguments],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    with table.open(newline="") as file:
        (row,) = csv.DictReader(file)
    imports_s = float(row["accuracy"].split("imports before it ")[1].split(" s")[0])
    # Loading a network of this size is a fraction of importing torch and what is built on it.
    assert 0 < float(row["total_s"]) < imports_s
    assert int(row["peak_rss_mib"]) > 100
