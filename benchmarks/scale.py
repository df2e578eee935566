"""What a run costs for each image beside the model: listing, resuming, writing, merging.

    python benchmarks/scale.py --images 100000
    python benchmarks/scale.py --images 100000 --record benchmarks/results.csv

Folders are made up: empty images, a line of journal and manifest for each (ten segments, as COCO's
panoptic images have about), one-byte PNGs. Each part runs in a process of its own, whose peak of
memory is taken off what it had before the part began. docs/scale.md builds on the rows.
"""

import argparse
import csv
import datetime
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from odise_cli.commands.merge import merge_runs
from odise_cli.commands.result_writers import ResultWriters, Tally
from odise_cli.data.loader import LoadedBatch
from odise_cli.data.records import make_records
from odise_cli.data.sources import find_images
from odise_cli.structures import Category, ImageRecord
from odise_cli.writers.encoded import EncodedImage
from odise_cli.writers.layout import JOURNAL, LOCK, MANIFEST
from odise_cli.writers.manifest import done_line, json_line, load_rows
from odise_cli.writers.run_folder import RunFolder

FILES_PER_FOLDER = 1000
NUM_SEGMENTS = 10
NUM_SHARDS = 4
NUM_WRITTEN = 2000
PNG_BYTES = 20_000
CATEGORIES = (Category(id=1, words=("cat",), isthing=True, color=(220, 20, 60)),)
Result = TypeVar("Result")
Part = Callable[[Path, int], tuple[int, str]]
"""Does something for so many images; how many it were, and what else is to be said."""


def main() -> None:
    """Measure all parts and print them; append rows with --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--commit", default="")
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for part in (list_images, resume, write, merge):
            folder = Path(scratch) / part.__name__
            folder.mkdir()
            if part in PREPARED_BY:
                in_own_process(PREPARED_BY[part], folder, arguments.images)
            row = in_own_process(measured, part, folder, arguments.images)
            print(json.dumps(row))
            if arguments.record is not None:
                append_row(arguments.record, {**row, "commit": arguments.commit})


def in_own_process(call: Callable[..., Result], *arguments: object) -> Result:
    """What a call returns in a process that has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(call, *arguments).result()


def measured(part: Part, folder: Path, num_images: int) -> dict[str, object]:
    """A row of results.csv, times by image."""
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, cpu_started = time.perf_counter(), time.process_time()
    count, remark = part(folder, num_images)
    seconds = time.perf_counter() - started
    cpu_s = time.process_time() - cpu_started
    gained_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before_mib
    bytes_each = gained_mib * 2**20 / count
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "technique": f"scale: {part.__name__.replace('_', ' ')}",
        "device": f"cpu {platform.machine()}",
        "images": count,
        "total_s": round(seconds / count, 7),
        "images_per_s": round(count / seconds, 1),
        "peak_rss_mib": round(before_mib + gained_mib),
        "accuracy": f"{bytes_each:.0f} bytes of memory an image{remark}",
        "cpu_s": round(cpu_s / count, 7),
    }


def list_images(folder: Path, _num_images: int) -> tuple[int, str]:
    """Find images, order them, give them names and ids."""
    found = find_images([str(folder)])
    found.fingerprint()
    return len(make_records(found.paths, found.root)), ""


def make_images(folder: Path, num_images: int) -> None:
    """Empty files that are called images."""
    for number in range(num_images):
        path = folder / f"{name_of(number)}"
        if number % FILES_PER_FOLDER == 0:
            path.parent.mkdir()
        path.touch()


def resume(folder: Path, _num_images: int) -> tuple[int, str]:
    """Read what an earlier run has done, and look for its files."""
    rows, _ = load_rows(folder, ["panoptic"])
    size = sum((folder / name).stat().st_size for name in (JOURNAL, MANIFEST)) / len(rows)
    return len(rows), f"; journal and manifest {size:.0f} bytes an image"


def make_run(folder: Path, num_images: int, *, first: int = 0) -> None:
    """A finished run over images from the `first` on."""
    with open_run(folder) as run:
        run.finish([], {})
    with (folder / JOURNAL).open("ab") as journal, (folder / MANIFEST).open("ab") as manifest:
        for number in range(first, first + num_images):
            record = record_of(number)
            path = folder / "panoptic" / f"{record.stem}.png"
            if number == first or number % FILES_PER_FOLDER == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            journal.write(journal_line(record))
            line = done_line(
                record, size=(480, 640), num_segments=NUM_SEGMENTS, stage_ms={"decode": 1.234}
            )
            manifest.write(line)
    assert (folder / LOCK).is_file()


def write(folder: Path, _num_images: int) -> tuple[int, str]:
    """What one process writes: a file an image, a line of journal and of manifest, all flushed."""
    png = os.urandom(PNG_BYTES)
    tally = Tally(
        num_pending=NUM_WRITTEN, on_progress=lambda *_: None, fail_fast=False, max_failures=None
    )
    with open_run(folder / "preds") as run, ResultWriters(run, tally) as writers:
        for number in range(NUM_WRITTEN):
            record = record_of(number)
            image = EncodedImage(
                record=record,
                size=(480, 640),
                num_segments=NUM_SEGMENTS,
                stage_ms={},
                encode_ms=0.0,
                journal_line=journal_line(record),
                files={"panoptic": png},
            )
            batch = LoadedBatch(images=(), failures=(), pending=frozenset([record.name]))
            writers.write(batch, [image])
    return NUM_WRITTEN, f"; PNGs of {PNG_BYTES:,} bytes, every file flushed to the disk"


def merge(folder: Path, _num_images: int) -> tuple[int, str]:
    """Four shards into one folder, files linked."""
    shards = [folder / f"shard{index}" for index in range(NUM_SHARDS)]
    report = merge_runs(shards, folder / "merged")
    size = (folder / "merged" / "panoptic.json").stat().st_size / report.num_done
    return report.num_done, f"; panoptic.json {size:.0f} bytes an image"


def make_shards(folder: Path, num_images: int) -> None:
    """Finished runs over parts of a list."""
    for index in range(NUM_SHARDS):
        first, end = (num_images * i // NUM_SHARDS for i in (index, index + 1))
        make_run(folder / f"shard{index}", end - first, first=first)


PREPARED_BY: dict[Part, Callable[[Path, int], None]] = {
    list_images: make_images,
    resume: make_run,
    merge: make_shards,
}


def open_run(folder: Path) -> RunFolder:
    """A run folder of made-up settings."""
    return RunFolder.open(
        folder,
        settings={"made": "up"},
        info={},
        categories=CATEGORIES,
        outputs=["panoptic"],
        overwrite=False,
    )


def name_of(number: int) -> str:
    """A name as long as names are."""
    return f"part-{number // FILES_PER_FOLDER:05d}/photo-{number:09d}.jpg"


def record_of(number: int) -> ImageRecord:
    """The `number`-th image."""
    name = name_of(number)
    return ImageRecord(
        path=Path(name), name=name, stem=name.removesuffix(".jpg"), image_id=number + 1
    )


def journal_line(record: ImageRecord) -> bytes:
    """What a run notes of an image with ten segments."""
    infos = [
        {
            "id": number,
            "category_id": 1,
            "iscrowd": 0,
            "area": 30720,
            "bbox": [100, 100, 200, 300],
            "score": 0.8765432119369507,
        }
        for number in range(1, NUM_SEGMENTS + 1)
    ]
    panoptic = {
        "image_id": record.image_id,
        "file_name": f"{record.stem}.png",
        "segments_info": infos,
    }
    return json_line({"name": record.name, "stem": record.stem, "panoptic": panoptic})


def append_row(path: Path, row: dict[str, object]) -> None:
    """Add a row under the columns that the file has."""
    with path.open(newline="") as file:
        columns = next(csv.reader(file))
    with path.open("a", newline="") as file:
        csv.DictWriter(file, columns, lineterminator="\n").writerow(row)


if __name__ == "__main__":
    main()
