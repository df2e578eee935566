"""A command without its sources, and folders with peculiar owners."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.runs import ALL_OUTPUTS, VOCAB, write_images


@pytest.fixture
def argv(small_model, tmp_path):
    """Everything but the sources."""
    words = ["--vocab", VOCAB, "--model", small_model, "--write", ALL_OUTPUTS, "--quiet"]
    return [*words, "--batch-size", 3, "--out", tmp_path / "preds"]


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "imgs", ["1.png", "2.png", "3.png"])


@pytest.fixture
def open_folder():
    """A folder that every user can reach and write to, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody():
    """Goes on as a user whom permissions bind, which the superuser is not."""
    yield lambda: os.seteuid(65534) if os.geteuid() == 0 else None
    if os.getuid() == 0:
        os.seteuid(0)
