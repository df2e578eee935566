"""`odise draw`, stopped, killed or spoilt: the same command ends with the files of one run."""

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from odise_cli.cli.app import main
from odise_cli.commands.draw import run_draw
from odise_cli.config import DrawConfig
from odise_cli.errors import SettingsChangedError, TryAgainError, UsageError
from odise_cli.writers.lock import exclusive_lock
from tests.runs import start_odise

NUM_SCENES = 6
SIZE = (64, 80)
FLAGS = ["--size", "64x80", "--scenes", str(NUM_SCENES), "--seed", "5"]
TIMEOUT_S = 60


def config(out: Path, **fields) -> DrawConfig:
    return DrawConfig(out=out, **{"scenes": NUM_SCENES, "size": SIZE, "seed": 5, **fields})


def stop_after(count: int):
    """A wish to stop that comes up when so many scenes have been begun."""
    asked = itertools.count()
    return lambda: next(asked) >= count


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """The files of a run that nothing interrupts."""
    out = tmp_path_factory.mktemp("undisturbed") / "world"
    run_draw(config(out))
    return files_of(out)


def test_these_are_the_files(expected):
    names = [f"{number:06d}.png" for number in range(1, NUM_SCENES + 1)]
    pictures = [f"{part}/{name}" for part in ("images", "panoptic") for name in names]
    others = ["captions.json", "draw.json", "panoptic.json", ".odise/lock", ".odise/scenes.jsonl"]
    assert sorted(expected) == sorted([*pictures, *others])


@pytest.mark.parametrize("counts", [(0,), (2,), (1, 1, 3), (NUM_SCENES - 1,)])
def test_stopped_between_scenes(tmp_path, expected, counts):
    out = tmp_path / "world"
    num_drawn = 0
    for count in counts:
        report = run_draw(config(out), should_stop=stop_after(count))
        num_drawn += count
        assert (report.num_scenes, report.is_interrupted) == (num_drawn, True)
        assert not (out / "panoptic.json").exists()
    told: list[tuple[int, int, int]] = []
    report = run_draw(config(out), on_progress=lambda *counts: told.append(counts))
    assert (report.num_scenes, report.num_scenes_before) == (NUM_SCENES, num_drawn)
    # What is there is not drawn again.
    assert told == [(done, 0, NUM_SCENES) for done in range(num_drawn, NUM_SCENES + 1)]
    assert files_of(out) == expected


def test_killed_again_and_again(tmp_path, expected):
    out = tmp_path / "world"
    codes = []
    for count in (0, 1, 2, 4, 5):
        process = start_odise("draw", "--out", out, *FLAGS)
        deadline = time.monotonic() + TIMEOUT_S
        while process.is_alive() and len(list(out.glob("images/0*.png"))) < count:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.join(TIMEOUT_S)
        codes.append(process.exitcode)
    assert codes.count(-signal.SIGKILL) >= 3
    run_draw(config(out))
    assert files_of(out) == expected


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path, expected):
    out, log = tmp_path / "world", tmp_path / "log"
    many = ["--size", "64x80", "--scenes", "5000", "--seed", "5"]
    process = start_odise("draw", "--out", out, *many, log=log)
    deadline = time.monotonic() + TIMEOUT_S
    while not (out / "images" / "000002.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGINT)
    process.join(TIMEOUT_S)
    assert process.exitcode == 130
    said = log.read_text()
    assert "Ctrl-C: finishing the scene in hand." in said
    assert re.search(
        r"^\d+ scenes, \d+ segments\nInterrupted\. The same command goes on", said, re.M
    )
    assert (out / "images" / "000002.png").read_bytes() == expected["images/000002.png"]


def test_killed_before_anything_was_written(tmp_path, expected):
    (tmp_path / ".odise").mkdir()
    (tmp_path / ".odise" / "lock").write_text("4711\n")
    run_draw(config(tmp_path))
    assert files_of(tmp_path) == expected


def test_a_torn_line_counts_for_nothing(tmp_path, expected):
    run_draw(config(tmp_path), should_stop=stop_after(3))
    journal = tmp_path / ".odise" / "scenes.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    run_draw(config(tmp_path))
    assert files_of(tmp_path) == expected


def test_a_line_of_zeros_and_a_lost_picture_are_made_good(tmp_path, expected):
    run_draw(config(tmp_path))
    journal = tmp_path / ".odise" / "scenes.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:3], b"\0" * 9 + b"\n", *lines[4:]]))
    (tmp_path / "panoptic" / "000002.png").unlink()
    report = run_draw(config(tmp_path))
    assert report.num_scenes_before == NUM_SCENES - 2
    files = files_of(tmp_path)
    assert files.pop(".odise/scenes.jsonl") != expected[".odise/scenes.jsonl"]
    assert files == {name: expected[name] for name in files}


def test_a_finished_folder_is_left_as_it_is(tmp_path, expected, capsys):
    run_draw(config(tmp_path))
    pictures = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert main(["draw", "--out", str(tmp_path), *FLAGS]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{NUM_SCENES} scenes ({NUM_SCENES} drawn before), ")
    assert files_of(tmp_path) == expected
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures


def test_other_settings_are_refused_and_named(tmp_path, capsys):
    run_draw(config(tmp_path), should_stop=stop_after(2))
    before = files_of(tmp_path)
    flags = ["--size", "64x96", "--scenes", "7", "--seed", "6", "--only-seen", "--close-up", "0.5"]
    assert main(["draw", "--out", str(tmp_path), *flags]) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}: made with other settings than asked for now: "
        "close_up 0.0 instead of 0.5; only_seen false instead of true; scenes 6 instead of 7; "
        "seed 5 instead of 6; size [64, 80] instead of [64, 96]. "
        "One folder holds the results of one setting. Give another --out.\n"
    )
    assert files_of(tmp_path) == before


def test_words_of_another_version_are_other_settings(tmp_path):
    run_draw(config(tmp_path), should_stop=stop_after(1))
    path = tmp_path / "draw.json"
    document = json.loads(path.read_text())
    document["vocabulary"][0]["synonyms"] = []
    path.write_text(json.dumps(document))
    with pytest.raises(
        SettingsChangedError, match=r"vocabulary, category 1 .*synonyms \[\] instead"
    ):
        run_draw(config(tmp_path))


@pytest.mark.parametrize("name", ["mine.txt", "images/000001.png", "run.json"])
def test_a_folder_of_others_is_left_alone(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("keep")
    with pytest.raises(UsageError, match=rf"^--out: {tmp_path} is not empty\. .* Give another"):
        run_draw(config(tmp_path))
    assert files_of(tmp_path) == {name: b"keep"}


def test_a_draw_json_of_something_else_is_refused(tmp_path):
    (tmp_path / "draw.json").write_text("{}")
    with pytest.raises(UsageError, match=r"draw\.json: this is no draw\.json of odise"):
        run_draw(config(tmp_path))
    assert (tmp_path / "draw.json").read_text() == "{}"


def test_one_folder_takes_one_run_at_a_time(tmp_path):
    with (
        exclusive_lock(tmp_path / ".odise" / "lock"),
        pytest.raises(
            TryAgainError, match=rf"{tmp_path}: in use by another run \(process {os.getpid()}"
        ),
    ):
        run_draw(config(tmp_path))


def test_a_full_disk_and_then_room_again(tmp_path, small_files):
    large = config(tmp_path / "world", size=(256, 256), scenes=2)
    small_files(40_000)
    with pytest.raises(TryAgainError, match=r"00000\d\.png: cannot be written now: .*Free some"):
        run_draw(large)
    small_files(None)
    assert not (large.out / "panoptic.json").exists()
    run_draw(large)
    undisturbed = config(tmp_path / "other", size=(256, 256), scenes=2)
    run_draw(undisturbed)
    assert files_of(large.out) == files_of(undisturbed.out)
