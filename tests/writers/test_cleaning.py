from odise_cli.structures import FailedImage
from odise_cli.writers.atomic import temporary_path, write_atomic
from odise_cli.writers.cleaning import remove_earlier_run, remove_leftovers
from odise_cli.writers.layout import JOURNAL
from odise_cli.writers.manifest import json_line
from odise_cli.writers.store import LocalStore
from tests.writers.fakes import ALL_OUTPUTS, open_run, record, write_run


def names_in(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    write_atomic(tmp_path / "panoptic" / "a" / "half.png", b"")
    write_atomic(tmp_path / "overlays" / "a" / "half.jpg", b"")
    write_atomic(tmp_path / "panoptic" / "b" / "whole.png", b"")
    write_atomic(tmp_path / "overlays" / "a" / "foreign.jpg", b"")
    for path in ("panoptic/a/half.png", "panoptic.json", "run.json", "manifest.jsonl", JOURNAL):
        write_atomic(temporary_path(tmp_path / path), b"")
    remove_leftovers(LocalStore(tmp_path), ALL_OUTPUTS, ["a/half", "c/never"])
    assert names_in(tmp_path) == ["overlays/a/foreign.jpg", "panoptic/b/whole.png"]
    assert not (tmp_path / "panoptic" / "a").exists()


def test_an_earlier_run_is_removed_and_files_of_others_stay(tmp_path):
    write_run(tmp_path, range(4), failing=(2,))
    write_atomic(tmp_path / "panoptic" / "a" / "foreign.png", b"")
    write_atomic(tmp_path / "notes.txt", b"")
    remove_earlier_run(LocalStore(tmp_path), ALL_OUTPUTS)
    assert names_in(tmp_path) == [
        ".odise/lock",
        "notes.txt",
        "panoptic/a/foreign.png",
        "run.json",
    ]
    assert not (tmp_path / "semantic").exists()


def test_outputs_that_were_not_asked_for_are_files_of_others(tmp_path):
    write_run(tmp_path, range(1), outputs=("instances",))
    write_atomic(tmp_path / "panoptic" / f"{record(0).stem}.png", b"")
    remove_earlier_run(LocalStore(tmp_path), ["instances"])
    assert names_in(tmp_path) == [".odise/lock", "panoptic/a/image0.png", "run.json"]


def test_files_of_an_image_that_was_never_finished_are_removed(tmp_path):
    write_run(tmp_path, range(1))
    with (tmp_path / JOURNAL).open("ab") as journal:
        journal.write(json_line({"name": "x.jpg", "stem": "x"}))
    write_atomic(tmp_path / "panoptic" / "x.png", b"")
    remove_earlier_run(LocalStore(tmp_path), ALL_OUTPUTS)
    assert names_in(tmp_path) == [".odise/lock", "run.json"]


def test_a_run_that_only_failed_is_removed(tmp_path):
    with open_run(tmp_path) as folder:
        folder.write_failure(FailedImage(record=record(0), error="is truncated"))
    remove_earlier_run(LocalStore(tmp_path), ALL_OUTPUTS)
    assert names_in(tmp_path) == [".odise/lock", "run.json"]
