"""What lies where in a run folder; every path in it is made here.

Knows names; opens nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from odise_cli.errors import UsageError

RUN_JSON = "run.json"
MANIFEST = "manifest.jsonl"
FAILURES = "failures.txt"
LOCK = ".odise/lock"
JOURNAL = ".odise/journal.jsonl"

IMAGE_FILES = {
    "panoptic": ("panoptic", ".png"),
    "semantic": ("semantic", ".png"),
    "overlay": ("overlays", ".jpg"),
}
"""Outputs with a file for each image: its folder and suffix."""
COLLECTED_FILES = {
    "panoptic": "panoptic.json",
    "instances": "instances.json",
    "semantic": "semantic/labels.json",
    "segments": "segments.jsonl",
}
"""Outputs with a file for the whole run."""


def image_file(folder: Path, output: str, stem: str) -> Path:
    """Where an output of one image lies.

    Raises:
        UsageError: the stem, which may come from a file, leads out of the folder.
    """
    subfolder, suffix = IMAGE_FILES[output]
    parts = PurePosixPath(stem).parts
    if not parts or ".." in parts or parts[0].startswith("/") or "\0" in stem:
        raise UsageError(
            f"{folder}: the stem {stem!r} leads out of the folder. Expected a relative path. "
            f"Remove its line from {folder / MANIFEST}, or give another --out."
        )
    return folder / subfolder / f"{stem}{suffix}"


def image_files(folder: Path, outputs: Sequence[str], stem: str) -> Iterator[Path]:
    """Where all files of one image lie."""
    for output in outputs:
        if output in IMAGE_FILES:
            yield image_file(folder, output, stem)


def collected_files(folder: Path, outputs: Sequence[str]) -> Iterator[Path]:
    """Where the files of the whole run lie, `run.json` and the manifest not among them."""
    for output in outputs:
        if output in COLLECTED_FILES:
            yield folder / COLLECTED_FILES[output]
    yield folder / FAILURES


def top_level_names(outputs: Sequence[str]) -> list[str]:
    """Everything that a run puts directly into its folder, `run.json` not among it."""
    names = [IMAGE_FILES[output][0] for output in outputs if output in IMAGE_FILES]
    names += [COLLECTED_FILES[output] for output in outputs if output in COLLECTED_FILES]
    return [*(name for name in names if "/" not in name), FAILURES, MANIFEST]
