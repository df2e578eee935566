"""The end of a run: journal and manifest are put in order and become the collected files.

Streams line by line, so that memory does not grow with the number of images. Every file is
replaced atomically and follows from journal and manifest alone: a kill in between costs
nothing but doing it again.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from odise_cli.structures import Category
from odise_cli.writers.atomic import AtomicFile
from odise_cli.writers.layout import COLLECTED_FILES, FAILURES, JOURNAL, MANIFEST
from odise_cli.writers.line_log import lines_at
from odise_cli.writers.manifest import Row, json_line
from odise_cli.writers.panoptic import panoptic_categories, panoptic_image


def collect(
    folder: Path,
    *,
    rows: Sequence[Row],
    outputs: Sequence[str],
    categories: Sequence[Category],
) -> list[str]:
    """Write `panoptic.json` and its like, then manifest and journal in order.

    Args:
        folder: the run folder.
        rows: images done or failed, in the order that the files shall have.
        outputs: which files to write.
        categories: the vocabulary.

    Returns:
        Names of failed images that `failures.txt` cannot list: a newline is in their path.

    Raises:
        OdiseError: as `atomic.explained_errors` says; the old files are then still there.
    """
    done = [row for row in rows if row.status == "done"]
    failed = [row for row in rows if row.status == "failed"]
    if "panoptic" in outputs:
        _write_panoptic(folder, done, categories)
    if "instances" in outputs:
        with AtomicFile(folder / COLLECTED_FILES["instances"]) as file:
            results = (result for entry in _journal(folder, done) for result in entry["instances"])
            _write_array(file, "[", results, "\n]\n")
    if "segments" in outputs:
        with AtomicFile(folder / COLLECTED_FILES["segments"]) as file:
            for entry in _journal(folder, done):
                file.write(b"".join(map(json_line, entry["segments"])))
    unlisted = []
    with AtomicFile(folder / FAILURES) as file:
        for entry in _manifest(folder, failed):
            if "\n" in entry["path"]:
                unlisted.append(entry["name"])
            else:
                file.write(os.fsencode(entry["path"]) + b"\n")
    # The rows' offsets are those of the old files: these two come last.
    _reorder(folder / MANIFEST, (row.manifest_offset for row in rows))
    _reorder(folder / JOURNAL, (row.journal_offset for row in done))
    return unlisted


def _write_panoptic(folder: Path, done: Sequence[Row], categories: Sequence[Category]) -> None:
    images = (
        panoptic_image(entry["name"], entry["image_id"], entry["size"])
        for entry in _manifest(folder, done)
    )
    annotations = (entry["panoptic"] for entry in _journal(folder, done))
    with AtomicFile(folder / COLLECTED_FILES["panoptic"]) as file:
        _write_array(file, '{"images": [', images, "\n],\n")
        _write_array(file, '"annotations": [', annotations, "\n],\n")
        _write_array(file, '"categories": [', panoptic_categories(categories), "\n]}\n")


def _write_array(
    file: AtomicFile, opening: str, items: Iterable[Mapping[str, Any]], closing: str
) -> None:
    """One item to a line, as they come."""
    file.write(opening.encode("ascii"))
    separator = b"\n"
    for item in items:
        file.write(separator + json_line(item).rstrip(b"\n"))
        separator = b",\n"
    file.write(closing.encode("ascii"))


def _manifest(folder: Path, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    lines = lines_at(folder / MANIFEST, (row.manifest_offset for row in rows))
    return map(json.loads, lines)


def _journal(folder: Path, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    return map(json.loads, lines_at(folder / JOURNAL, (row.journal_offset for row in rows)))


def _reorder(path: Path, offsets: Iterable[int]) -> None:
    with AtomicFile(path) as file:
        for line in lines_at(path, offsets):
            file.write(line)
