"""What a run folder remembers of each image: its id, its place, whether it is done.

Two files of lines. The *journal* holds what the collected files will say of an image; its
line comes first, so that files of a killed run can be found and removed. The *manifest* line
comes last, when all files of the image are in place: without it the image is not done.
Later lines supersede earlier ones; a line that cannot be read counts for nothing.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from odise_cli.storage import absolute
from odise_cli.structures import FailedImage, ImageRecord
from odise_cli.writers.layout import JOURNAL, MANIFEST, image_files
from odise_cli.writers.line_log import read_lines

Status = Literal["done", "failed", "lost"]
"""`lost`: was done, but a file of it or its journal line is gone."""


@dataclass(slots=True)
class Row:
    """One image in memory; its lines stay on the disk."""

    image_id: int
    stem: str
    status: Status
    manifest_offset: int
    journal_offset: int = -1
    """-1: the journal has no line for it."""


def json_line(value: Mapping[str, Any]) -> bytes:
    """A value as one line of ASCII; undecodable bytes in file names come out as escapes."""
    return json.dumps(value, allow_nan=False).encode("ascii") + b"\n"


def done_line(
    record: ImageRecord,
    *,
    size: tuple[int, int],
    num_segments: int,
    stage_ms: Mapping[str, float],
) -> bytes:
    """The manifest's line for an image with a result."""
    return json_line(
        {
            "name": record.name,
            "image_id": record.image_id,
            "stem": record.stem,
            "status": "done",
            "size": list(size),
            "num_segments": num_segments,
            "ms": {stage: round(ms, 3) for stage, ms in stage_ms.items()},
        }
    )


def failed_line(failed: FailedImage) -> bytes:
    """The manifest's line for an image without a result."""
    return json_line(
        {
            "name": failed.record.name,
            "image_id": failed.record.image_id,
            "stem": failed.record.stem,
            "status": "failed",
            "error": failed.error,
            "path": str(absolute(failed.record.path)),
        }
    )


def load_rows(
    folder: Path, outputs: Sequence[str], *, is_file: Callable[[Path], bool] = Path.is_file
) -> tuple[dict[str, Row], set[str]]:
    """The rows of a run folder by name, and the stems whose files belong to no finished image.

    Args:
        folder: the run folder.
        outputs: what its runs write.
        is_file: whether a file below `folder` is there.

    Raises:
        UsageError: a line's stem leads out of the folder.
    """
    rows: dict[str, Row] = {}
    for offset, line in read_lines(folder / MANIFEST):
        entry = parse_line(line)
        if entry is not None and {"image_id", "status"} <= entry.keys():
            rows[entry["name"]] = Row(entry["image_id"], entry["stem"], entry["status"], offset)
    unfinished: set[str] = set()
    for offset, line in read_lines(folder / JOURNAL):
        entry = parse_line(line)
        if entry is None:
            continue
        row = rows.get(entry["name"])
        if row is not None and row.stem == entry["stem"]:
            row.journal_offset = offset
        else:
            unfinished.add(entry["stem"])
    for row in rows.values():
        if row.status == "done" and not _is_complete(folder, outputs, row, is_file):
            row.status = "lost"
        if row.status != "done":
            unfinished.add(row.stem)
    unfinished.difference_update(row.stem for row in rows.values() if row.status == "done")
    return rows, unfinished


def parse_line(line: bytes) -> dict[str, Any] | None:
    """A line of manifest or journal; None where it is not one of ours."""
    try:
        entry = json.loads(line)
        is_ours = isinstance(entry["name"], str) and isinstance(entry["stem"], str)
    except (ValueError, TypeError, KeyError):
        return None
    return entry if is_ours else None


def _is_complete(
    folder: Path, outputs: Sequence[str], row: Row, is_file: Callable[[Path], bool]
) -> bool:
    return row.journal_offset >= 0 and all(
        is_file(path) for path in image_files(folder, outputs, row.stem)
    )
