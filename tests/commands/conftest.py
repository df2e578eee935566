"""Folders of images, and one run over them, for the tests of whole commands."""

import pytest

from tests.runs import ALL_OUTPUTS, TREE, VOCAB, segment, write_images


@pytest.fixture(scope="session")
def tree(tmp_path_factory):
    """Five images in natural order, and a file that is none."""
    folder = write_images(tmp_path_factory.mktemp("tree"), TREE)
    (folder / "a" / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="session")
def flags(small_model):
    return ["--vocab", VOCAB, "--model", small_model, "--quiet"]


@pytest.fixture(scope="session")
def preds(tree, flags, tmp_path_factory):
    """A run with every output."""
    out = tmp_path_factory.mktemp("runs") / "preds"
    assert segment(tree, *flags, "--write", ALL_OUTPUTS, "--batch-size", 2, "--out", out) == 0
    return out


@pytest.fixture(scope="session")
def row(tmp_path_factory):
    """Eight images named as in COCO."""
    names = [f"{number:012}.png" for number in (9, 25, 30, 139, 285, 632, 724, 776)]
    return write_images(tmp_path_factory.mktemp("row"), names)
