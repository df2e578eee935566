"""Whether `odise segment` waits for files, and whether its memory stays flat: a plot and a row.

    python benchmarks/pipeline.py --images 2000 --plot benchmarks/pipeline.png
    python benchmarks/pipeline.py --images 200 --write panoptic,instances,semantic,overlay,segments

The images are the sample scenes at CamVid's size (960×720), linked under as many names as asked
for. Compute is what the device's thread needs; decoding and writing have threads of their own, and
overhead is how much longer the whole run takes than its compute.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# As the command line does, before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from PIL import Image, ImageDraw
from throughput import append_row, git_commit

from odise_cli.commands.segment import run_segment
from odise_cli.config import SegmentConfig
from odise_cli.host_memory import keep_freed_memory
from odise_cli.reports.segmentation import SegmentReport

SAMPLES = Path(__file__).parents[1] / "samples"
SIZE_WH = (960, 720)
COMPUTE = ("features", "masks", "classify", "postprocess")
PLOT_WH = (900, 360)
MARGIN_PX = 50

Sample = tuple[float, int, int]
"""Seconds since the first image was done, images done, resident MiB."""


def main() -> None:
    """Run once and print; draw and record what is asked for."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--vocab", default="world48")
    parser.add_argument("--write", default="panoptic", help="outputs, comma-separated")
    parser.add_argument("--plot", type=Path, default=None, help="PNG of memory over images")
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    samples: list[Sample] = []

    def on_progress(num_done: int, _: int, __: int) -> None:
        if num_done:
            samples.append((time.perf_counter(), num_done, resident_mib()))

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        link_images(folder / "images", arguments.images)
        config = SegmentConfig(
            sources=(str(folder / "images"),),
            vocab=(arguments.vocab,),
            out=folder / "preds",
            write=tuple(arguments.write.split(",")),
            model=arguments.model,
        )
        report = run_segment(
            config,
            on_notice=lambda message: print(message, file=sys.stderr),
            on_progress=on_progress,
            should_stop=lambda: False,
        )
    row = make_row(arguments, report, samples)
    for name, value in row.items():
        print(f"{name:>14}  {value}")
    if arguments.plot is not None:
        draw(samples, f"{arguments.write}: {row['accuracy']}").save(arguments.plot)
    if arguments.record is not None:
        append_row(arguments.record, row)


def make_row(
    arguments: argparse.Namespace, report: SegmentReport, samples: list[Sample]
) -> dict[str, object]:
    """One row: what ran, how fast, and what files and memory had to do with it."""
    compute_s = sum(report.stage_ms[stage] for stage in COMPUTE) / 1e3
    overhead = report.seconds / compute_s - 1
    growth_mib = memory_growth(samples)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": git_commit(),
        "technique": "pipeline",
        "model": arguments.model,
        "size": "960x720",
        "outputs": arguments.write.replace(",", "+"),
        "device": "cpu",
        "threads": os.cpu_count(),
        "images": report.num_done,
        **{
            f"{stage}_s": round(ms / 1e3 / report.num_done, 4)
            for stage, ms in report.stage_ms.items()
        },
        "total_s": round(report.seconds / report.num_done, 4),
        "images_per_s": round(report.images_per_second, 3),
        "peak_rss_mib": max(mib for *_, mib in samples),
        "accuracy": f"{overhead:.1%} longer than compute; {growth_mib:+.0f} MiB in the last half",
    }


def link_images(folder: Path, count: int) -> None:
    """The sample scenes at the wanted size, under `count` names."""
    folder.mkdir()
    scenes = sorted(SAMPLES.glob("*.jpg"))
    originals = []
    for number, path in enumerate(scenes):
        originals.append(folder.parent / f"{number}.jpg")
        with Image.open(path) as image:
            image.resize(SIZE_WH, Image.Resampling.BICUBIC).save(originals[-1], quality=90)
    for number in range(count):
        os.link(originals[number % len(originals)], folder / f"{number:05d}.jpg")


def resident_mib() -> int:
    """What the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def memory_growth(samples: list[Sample]) -> float:
    """MiB between the means of the third and the fourth quarter of a run."""
    quarter = max(1, len(samples) // 4)
    third, fourth = samples[-2 * quarter : -quarter] or samples, samples[-quarter:]
    means = [sum(mib for *_, mib in part) / len(part) for part in (third, fourth)]
    return means[1] - means[0]


def draw(samples: list[Sample], title: str) -> Image.Image:
    """Resident memory over the number of images done."""
    width, height = PLOT_WH
    image = Image.new("RGB", PLOT_WH, "white")
    pen = ImageDraw.Draw(image)
    most_images, most_mib = samples[-1][1], max(mib for *_, mib in samples) * 1.2
    left, bottom = MARGIN_PX, height - MARGIN_PX

    def place(num_done: float, mib: float) -> tuple[float, float]:
        x = left + (width - 2 * MARGIN_PX) * num_done / most_images
        return x, bottom - (height - 2 * MARGIN_PX) * mib / most_mib

    for part in range(5):
        mib, count = most_mib * part / 4, most_images * part // 4
        pen.line([place(0, mib), place(most_images, mib)], fill="#dddddd")
        pen.text((4, place(0, mib)[1] - 6), f"{mib:.0f}", fill="black")
        pen.text((place(count, 0)[0] - 8, bottom + 8), str(count), fill="black")
    pen.line([place(count, mib) for _, count, mib in samples], fill="#c03020", width=2)
    pen.text((left, 12), title, fill="black")
    pen.text((left, 28), "resident MiB over images done", fill="black")
    return image


if __name__ == "__main__":
    main()
