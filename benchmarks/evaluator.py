"""Images/s of `odise evaluate` on saved predictions beside hotcoco and pycocotools.

    python benchmarks/evaluator.py --images 1000 --record benchmarks/results.csv

The pairs of `panoptic_pairs.py`. Everything is timed from the files on: decoding, matching and
figures; of ours also the start of its processes. All take turns on the same files; the best of each
counts, since other work on the machine only adds.

Ours imports this file in each of its processes, as `odise` imports its command line: what only the
contestants need is imported where it is used.
"""

import argparse
import contextlib
import datetime
import io
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def main() -> None:
    """Draw, time, compare, print; append rows with --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=("panoptic", "instances"), action="append")
    parser.add_argument("--folder", type=Path, help="keep the pairs there, or find them there")
    parser.add_argument("--record", type=Path, help="CSV file to append to")
    arguments = parser.parse_args()
    from panoptic_pairs import write_pairs
    from throughput import append_row

    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch, "pairs")
        if not folder.exists():
            write_pairs(folder, arguments.images)
        for outputs in arguments.measure or ("panoptic", "instances"):
            timed = best_of_each(arguments.repeats, contestants(folder, outputs))
            figure = timed["odise"][2]
            for name, (seconds, cpu, found) in timed.items():
                assert abs(found - figure) < 1e-9, (name, found, figure)
                row = make_row(name, outputs, arguments.images, seconds, cpu, found)
                print(outputs, name, row["images_per_s"], "images/s,", row["accuracy"])
                if arguments.record is not None:
                    append_row(arguments.record, row)


def contestants(folder: Path, outputs: str) -> dict[str, Callable[[], float]]:
    """What gives the headline figure of some outputs, by name."""
    import hotcoco
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if outputs == "panoptic":
        return {"odise": ours(folder, "pq"), "hotcoco": hotcoco_pq(folder)}
    return {
        "odise": ours(folder, "ap"),
        "hotcoco": detection(folder, hotcoco.COCO, hotcoco.COCOeval),
        "pycocotools": detection(folder, COCO, COCOeval),
    }


def best_of_each(
    repeats: int, runs: Mapping[str, Callable[[], float]]
) -> dict[str, tuple[float, float, float]]:
    """Of each: the shortest wall and CPU times in seconds, and the figure that came out."""
    best = {name: (float("inf"), float("inf"), 0.0) for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started, cpu_started = time.perf_counter(), cpu_seconds()
            figure = run()
            wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu_started
            best[name] = (min(wall, best[name][0]), min(cpu, best[name][1]), figure)
    return best


def cpu_seconds() -> float:
    """Of this process and of those that it has started."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ours(folder: Path, measure: str) -> Callable[[], float]:
    """`odise evaluate --predictions`, in percent as a share."""
    from panoptic_pairs import VOCABULARY

    from odise_cli.commands.evaluate import run_evaluate
    from odise_cli.config import EvaluateConfig

    def run() -> float:
        report = run_evaluate(
            EvaluateConfig(
                dataset="coco-panoptic",
                annotations=folder / "truth.json",
                masks=folder / "truth",
                vocab=(VOCABULARY,),
                predictions=folder / measure,
            ),
            on_notice=lambda _: None,
            on_progress=lambda *_: None,
            should_stop=lambda: False,
        )
        assert report is not None
        figure = report.figures["PQ" if measure == "pq" else "mAP"]
        assert figure is not None
        return figure / 100

    return run


def hotcoco_pq(folder: Path) -> Callable[[], float]:
    """The same files by hotcoco."""
    from hotcoco.panoptic import pq_compute

    def run() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            found = pq_compute(
                folder / "truth.json",
                folder / "pq/panoptic.json",
                folder / "truth",
                folder / "pq/panoptic",
            )
        return float(found["All"]["pq"])

    return run


def detection(folder: Path, coco: type, evaluator: type) -> Callable[[], float]:
    """The instances of the same files by an evaluator with pycocotools' interface."""

    def run() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco(str(folder / "instances.json"))
            load = getattr(truth, "load_res", None) or truth.loadRes
            found = evaluator(truth, load(str(folder / "ap/instances.json")), "segm")
            found.evaluate()
            found.accumulate()
            found.summarize()
        return float(found.stats[0])

    return run


def make_row(
    name: str, outputs: str, images: int, seconds: float, cpu: float, found: float
) -> dict[str, object]:
    """One row: what ran, on what, how fast."""
    from panoptic_pairs import SIZE
    from throughput import git_commit

    peak_kib = max(resource.getrusage(who).ru_maxrss for who in (0, -1))
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": git_commit(),
        "technique": f"evaluate: {name}",
        "model": "",
        "size": f"{SIZE[1]}x{SIZE[0]}",
        "outputs": outputs,
        "torch": "",
        "device": f"cpu {platform.processor() or platform.machine()}",
        "threads": os.cpu_count(),
        "precision": "",
        "batch": "",
        "images": images,
        **dict.fromkeys(("decode_s", "features_s", "masks_s", "classify_s", "postprocess_s"), ""),
        "write_s": "",
        "total_s": round(seconds / images, 6),
        "images_per_s": round(images / seconds, 1),
        "peak_rss_mib": peak_kib // 1024 if name == "odise" else "",
        "peak_cuda_mib": "",
        "unet_pass_s": "",
        "accuracy": f"{'PQ' if outputs == 'panoptic' else 'mAP'} {found:.9f}; "
        f"{1e3 * cpu / images:.2f} CPU ms an image",
    }


if __name__ == "__main__":
    main()
