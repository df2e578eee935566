"""Fixtures of the data layer's tests."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from odise_cli.data.decode import decode_image
from odise_cli.data.formats import readable_formats
from odise_cli.structures import DecodedImage, ImageRecord


@pytest.fixture(scope="session")
def make_record() -> Callable[[Path], ImageRecord]:
    """What `make_records` would make of a single file."""

    def make(path: Path) -> ImageRecord:
        return ImageRecord(path=path, name=path.name, stem=path.stem, image_id=1)

    return make


@pytest.fixture
def decode(make_record: Callable[[Path], ImageRecord]) -> Callable[[Path], DecodedImage]:
    """Decodes to at most 32 × 48."""
    return lambda path: decode_image(make_record(path), short_side=32, long_side=48)


@pytest.fixture
def locked() -> Iterator[Callable[[Path], None]]:
    """Takes all rights on a path away; permissions bind the test even if root runs it."""
    readable_formats()  # imports that must not happen without rights
    locked_paths: list[tuple[Path, int]] = []

    def lock(path: Path) -> None:
        locked_paths.append((path, path.stat().st_mode))
        path.chmod(0)
        if os.geteuid() == 0:
            os.seteuid(65534)

    yield lock
    if os.getuid() == 0:
        os.seteuid(0)
    for path, mode in locked_paths:
        path.chmod(mode)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
