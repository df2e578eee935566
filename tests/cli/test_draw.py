"""`odise draw` from the shell's side; what it writes is tests/commands'."""

import inspect
import json
import re

import pytest

from odise_cli.cli.app import main
from odise_cli.cli.draw import draw
from odise_cli.config import DrawConfig

FAST = ["--size", "64x80", "--scenes", "2", "--seed", "5"]


def test_it_ends_with_a_summary_on_stdout(tmp_path, capsys):
    out = tmp_path / "world"
    assert main(["draw", "--out", str(out), *FAST, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    other = tmp_path / "other"
    assert main(["draw", "--out", str(other), *FAST]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"2 scenes, \d+ segments", lines[0])
    assert lines[1:] == [
        f"images:      {other / 'images'}",
        f"annotations: {other / 'panoptic.json'} (masks in {other / 'panoptic'})",
        f"captions:    {other / 'captions.json'}",
    ]


def test_a_result_as_json(tmp_path, capsys):
    out = tmp_path / "world"
    assert main(["draw", "--out", str(out), *FAST, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    infos = json.loads((out / "panoptic.json").read_text())["annotations"]
    assert document == {
        "out": str(out),
        "num_scenes": 2,
        "num_scenes_before": 0,
        "num_segments": sum(len(entry["segments_info"]) for entry in infos),
        "is_interrupted": False,
    }


def test_every_flag_arrives(tmp_path, capsys):
    flags = ["--only-seen", "--close-up", "0.5", "--size", "80X64"]
    assert main(["draw", "--out", str(tmp_path / "a"), *FAST, *flags, "--quiet"]) == 0
    images = json.loads((tmp_path / "a" / "captions.json").read_text())["images"]
    assert [(image["height"], image["width"]) for image in images] == [(80, 64)] * 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "512"], "--size: '512' is no size. Expected height x width. Try --size"),
        (["--size", "0x-5"], "--size: '0x-5' is no size."),
        (["--size", "64x64x3"], "--size: '64x64x3' is no size."),
        (["--size", "32x64"], "--size: 32x64 cannot be drawn. Expected sides of 64 to 4096"),
        (["--size", "64x5000"], "--size: 64x5000 cannot be drawn."),
        (["--scenes", "0"], "--scenes: 0 is too small. Expected at least 1."),
        (["--seed", "-1"], "--seed: -1 is negative. Expected 0 or more."),
        (["--close-up", "2"], "--close-up: 2.0 is no share. Expected 0 to 1. Try"),
        (["--close-up", "nan"], "--close-up: nan is no share."),
    ],
)
def test_what_cannot_be_drawn(tmp_path, capsys, flags, message):
    out = tmp_path / "world"
    assert main(["draw", "--out", str(out), *flags]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {message}")
    assert captured.out == ""
    assert not out.exists()


def test_a_folder_with_something_in_it_exits_2(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["draw", "--out", str(tmp_path), *FAST]) == 2
    assert f"error: --out: {tmp_path} is not empty." in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_needs_a_place(capsys):
    assert main(["draw"]) == 2
    assert "Missing option '--out'." in capsys.readouterr().err


def test_its_defaults_are_the_config_s():
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(draw).parameters.items()
    }
    assert defaults["size"] == "{}x{}".format(*DrawConfig.size)
    for name in ("scenes", "seed", "close_up", "only_seen"):
        assert defaults[name] == getattr(DrawConfig, name)
