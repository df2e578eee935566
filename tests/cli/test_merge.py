"""`odise merge` from the shell's side; what is in a merged folder is tests/commands'."""

import json

import numpy as np
import pytest
from PIL import Image

from odise_cli.cli.app import main


@pytest.fixture
def shards(tmp_path, capsys):
    """The output folders of two shards; the image `1.jpg` of the first has no result."""
    images = tmp_path / "imgs"
    images.mkdir()
    for number in range(4):
        image = Image.fromarray(np.full((32, 48, 3), 60 * number, np.uint8))
        image.save(images / f"{number}.jpg")
    (images / "1.jpg").write_bytes(b"")
    folders = [str(tmp_path / "first"), str(tmp_path / "second")]
    flags = [str(images), "--vocab", "cat; sky", "--model", "tiny", "--quiet"]
    assert main(["segment", *flags, "--shard", "1/2", "--out", folders[0]]) == 3
    assert main(["segment", *flags, "--shard", "2/2", "--out", folders[1]]) == 0
    capsys.readouterr()
    return folders


def test_a_merge_ends_with_a_summary_on_stdout(shards, tmp_path, capsys):
    out = tmp_path / "all"
    assert main(["merge", *shards, "--out", str(out)]) == 3
    assert capsys.readouterr() == (
        f"2 folders: 3 images with a result, 1 without (listed in {out / 'failures.txt'})\n"
        f"results: {out}\n",
        "",
    )


def test_a_merge_as_json(shards, tmp_path, capsys):
    out = tmp_path / "all"
    assert main(["merge", *shards, "--out", str(out), "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out),
        "num_folders": 2,
        "num_done": 3,
        "num_failed": 1,
        "num_missing": 0,
    }


def test_a_shard_that_was_forgotten_is_said_and_exits_3(shards, tmp_path, capsys):
    out = tmp_path / "all"
    assert main(["merge", shards[1], "--out", str(out)]) == 3
    assert "missing: 2 images of the list that the shards were cut from;" in capsys.readouterr().out


def test_folders_of_different_lists_are_said(shards, tmp_path, capsys):
    images = tmp_path / "imgs"
    (images / "3.jpg").unlink()
    flags = [str(images), "--vocab", "cat; sky", "--model", "tiny", "--quiet", "--limit", "1"]
    assert main(["segment", *flags, "--out", str(tmp_path / "third")]) == 0
    capsys.readouterr()
    main(["merge", shards[1], str(tmp_path / "third"), "--out", str(tmp_path / "all")])
    assert "whether any are missing cannot be told." in capsys.readouterr().out


def test_merging_into_one_of_the_folders_exits_2(tmp_path, capsys):
    folder = str(tmp_path / "first")
    assert main(["merge", folder, "--out", folder]) == 2
    assert f"--out: {folder} is also a folder to merge." in capsys.readouterr().err


def test_a_merge_needs_folders_and_out(capsys):
    assert main(["merge", "--out", "all"]) == 2
    assert "Missing argument 'DIR'." in capsys.readouterr().err
    assert main(["merge", "first"]) == 2
    assert "Missing option '--out'." in capsys.readouterr().err
