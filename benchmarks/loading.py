"""What a model costs before its first image: imports, then weights to a ready engine.

    python benchmarks/loading.py --model tiny --record benchmarks/results.csv

Each run has a process of its own, in which nothing was imported; files are in the system's cache
after the first. Loading includes what libraries import only when they are first used. Words and
images come after it: throughput.py and vocabularies.py have those.
"""

import argparse
import datetime
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# As the command line does, before torch is imported. Nothing heavy is imported up here: every
# run's process imports this file.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    """Measure and print; append a row with --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    runs = []
    for number in range(arguments.runs):
        with ProcessPoolExecutor(1, mp_context=spawn) as processes:
            run = processes.submit(measure, arguments.model).result()
        print(f"run {number + 1}:", *(f"{name} {value:.2f}" for name, value in run.items()))
        runs.append(run)
    row = make_row(arguments.model, runs)
    print(*(f"{name} {value}" for name, value in row.items()), sep="  ")
    if arguments.record is not None:
        from throughput import append_row

        append_row(arguments.record, row)


def measure(model: str) -> dict[str, float]:
    """Seconds, wall and CPU, until the libraries are there, and from then until the engine is."""
    clocks = [(time.perf_counter(), time.process_time())]
    from odise_cli.commands.network_source import find_network
    from odise_cli.engine import Engine
    from odise_cli.placement import place

    clocks.append((time.perf_counter(), time.process_time()))
    network = find_network(model, weights=None).load(offline=True, seed=42)
    Engine(network, place("cpu", "auto", None))
    clocks.append((time.perf_counter(), time.process_time()))
    from throughput import peak_rss_mib

    started, imported, ready = clocks
    return {
        "import_s": imported[0] - started[0],
        "import_cpu_s": imported[1] - started[1],
        "load_s": ready[0] - imported[0],
        "load_cpu_s": ready[1] - imported[1],
        "peak_rss_mib": peak_rss_mib(),
    }


def make_row(model: str, runs: list[dict[str, float]]) -> dict[str, object]:
    """One row of medians; `total_s` and `cpu_s` are of loading, without the imports."""
    import torch
    from throughput import git_commit

    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    loads = [run["load_s"] for run in runs]
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": git_commit(),
        "technique": "loading: weights to a ready engine",
        "model": model,
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "total_s": round(medians["load_s"], 3),
        "peak_rss_mib": round(medians["peak_rss_mib"]),
        "accuracy": f"median of {len(runs)} runs; loading {min(loads):.2f} to {max(loads):.2f} s; "
        f"imports before it {medians['import_s']:.2f} s; {medians['import_cpu_s']:.2f} CPU s",
        "cpu_s": round(medians["load_cpu_s"], 3),
    }


if __name__ == "__main__":
    main()
