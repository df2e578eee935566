import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from odise_cli.errors import ImageError, SettingsChangedError, TryAgainError, UsageError
from odise_cli.structures import FailedImage
from odise_cli.writers.atomic import write_atomic
from tests.writers.fakes import (
    ALL_OUTPUTS,
    CATEGORIES,
    SETTINGS,
    files_of,
    open_run,
    record,
    result,
    result_of,
    write_run,
)


def rows_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_a_run_makes_the_promised_files(tmp_path):
    write_run(tmp_path, range(2))
    assert sorted(files_of(tmp_path)) == [
        ".odise/journal.jsonl",
        ".odise/lock",
        "failures.txt",
        "instances.json",
        "manifest.jsonl",
        "overlays/a/image0.jpg",
        "overlays/b/image1.jpg",
        "panoptic.json",
        "panoptic/a/image0.png",
        "panoptic/b/image1.png",
        "run.json",
        "segments.jsonl",
        "semantic/a/image0.png",
        "semantic/b/image1.png",
        "semantic/labels.json",
    ]


def test_run_json_is_there_before_the_first_image(tmp_path):
    with open_run(tmp_path):
        document = json.loads((tmp_path / "run.json").read_text())
    assert document["settings"] == {**SETTINGS, "write": list(ALL_OUTPUTS)}
    assert document["totals"] is None


def test_a_manifest_line_has_the_time_of_every_stage(tmp_path):
    write_run(tmp_path, [0])
    [row] = rows_of(tmp_path)
    assert row["num_segments"] == len(result(0).segmentation.segments)
    assert row["ms"].keys() == {"decode", "features", "write"}
    assert row["ms"]["write"] > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (30, 40)])
def test_an_image_without_segments_is_a_result(tmp_path, size):
    with open_run(tmp_path) as folder:
        folder.write(result_of(record(0), np.zeros(size, np.int32)))
        folder.finish([record(0)], {})
    panoptic = json.loads((tmp_path / "panoptic.json").read_text())
    assert panoptic["annotations"] == [
        {"image_id": 1, "file_name": "a/image0.png", "segments_info": []}
    ]
    assert panoptic["images"][0]["height"] == size[0]
    written = np.asarray(Image.open(tmp_path / "panoptic" / "a" / "image0.png"))
    assert written.shape == (*size, 3)
    assert not written.any()
    assert (np.asarray(Image.open(tmp_path / "semantic" / "a" / "image0.png")) == 65535).all()


def test_two_runs_differ_in_their_times_alone(tmp_path):
    write_run(tmp_path / "one", range(8), failing=(3,))
    write_run(tmp_path / "other", reversed(range(8)), failing=(3,), threads=4)
    write_run(tmp_path / "other", range(8), failing=(3,))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_a_second_run_knows_what_the_first_did(tmp_path):
    write_run(tmp_path, range(3), failing=(1,))
    with open_run(tmp_path) as folder:
        assert folder.known == {record(n).name: (n + 1, record(n).stem) for n in range(3)}
        assert folder.status == {"a/image0.jpg": "done", "b/image1.jpg": "failed"} | {
            "a/image2.jpg": "done"
        }


@pytest.mark.parametrize("output", ["panoptic/a/image0.png", "overlays/a/image0.jpg"])
def test_an_image_that_lost_a_file_is_not_done_and_keeps_its_id(tmp_path, output):
    write_run(tmp_path, range(2))
    expected = files_of(tmp_path)
    (tmp_path / output).unlink()
    with open_run(tmp_path) as folder:
        assert folder.status == {record(1).name: "done"}
        assert folder.known[record(0).name] == (1, "a/image0")
    write_run(tmp_path, range(2))
    assert files_of(tmp_path) == expected


def test_a_lost_image_that_is_not_written_again_is_left_out(tmp_path):
    write_run(tmp_path, range(2))
    (tmp_path / "panoptic" / "a" / "image0.png").unlink()
    with open_run(tmp_path) as folder:
        folder.finish([record(0), record(1)], {})
    assert [row["name"] for row in rows_of(tmp_path)] == [record(1).name]


def test_a_torn_line_is_cut_off(tmp_path):
    write_run(tmp_path, range(3))
    expected = files_of(tmp_path)
    for name in ("manifest.jsonl", ".odise/journal.jsonl"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-20])
    with open_run(tmp_path) as folder:
        assert folder.status == {record(n).name: "done" for n in range(2)}
    write_run(tmp_path, range(3))
    assert files_of(tmp_path) == expected


@pytest.mark.parametrize("name", ["manifest.jsonl", ".odise/journal.jsonl"])
def test_an_image_of_a_corrupt_line_is_not_done(tmp_path, name):
    write_run(tmp_path, range(3))
    expected = files_of(tmp_path)
    lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
    lines[1] = b"\0" * (len(lines[1]) - 1) + b"\n"
    (tmp_path / name).write_bytes(b"".join(lines))
    with open_run(tmp_path) as folder:
        assert folder.status == {record(n).name: "done" for n in (0, 2)}
    write_run(tmp_path, range(3))
    assert files_of(tmp_path) == expected


def test_a_result_that_becomes_a_failure_loses_its_files(tmp_path):
    write_run(tmp_path / "preds", range(2))
    write_run(tmp_path / "preds", range(2), failing=(1,))
    write_run(tmp_path / "expected", range(2), failing=(1,))
    assert files_of(tmp_path / "preds") == files_of(tmp_path / "expected")


def test_other_settings_are_refused(tmp_path):
    write_run(tmp_path / "preds", [0])
    changed = {"model": "label", "overlap_threshold": 0.8}
    message = r'preds: .* than asked for now: model "tiny" instead of "label"\. .* Add --overwrite'
    with pytest.raises(SettingsChangedError, match=message):
        open_run(tmp_path / "preds", settings=changed)
    with pytest.raises(SettingsChangedError, match=r"vocabulary of 3 categories instead of 1\."):
        open_run(tmp_path / "preds", categories=CATEGORIES[:1])
    with pytest.raises(SettingsChangedError, match=r'write .* instead of \["panoptic"\]\.'):
        open_run(tmp_path / "preds", outputs=("panoptic",))


def test_a_refusal_lets_go_of_the_lock(tmp_path):
    write_run(tmp_path, [0])
    with pytest.raises(SettingsChangedError, match="write"):
        open_run(tmp_path, outputs=("panoptic",))
    write_run(tmp_path, [0])


def test_overwriting_starts_anew_and_spares_files_of_others(tmp_path):
    write_run(tmp_path / "preds", range(3))
    write_atomic(tmp_path / "preds" / "panoptic" / "a" / "mine.png", b"mine")
    with open_run(tmp_path / "preds", outputs=("instances",), overwrite=True) as folder:
        assert folder.known == {}
        folder.write(result(1))
        folder.finish([record(1)], {})
    files = files_of(tmp_path / "preds")
    assert files.pop("panoptic/a/mine.png") == b"mine"
    write_run(tmp_path / "expected", [1], outputs=("instances",))
    assert files == files_of(tmp_path / "expected")


@pytest.mark.parametrize("name", ["panoptic/a.png", "segments.jsonl", "failures.txt"])
def test_files_of_others_under_our_names_are_refused(tmp_path, name):
    write_atomic(tmp_path / "preds" / name, b"mine")
    message = rf"preds: holds {name.split('/')[0]}, but no run\.json"
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=message):
            open_run(tmp_path / "preds", overwrite=overwrite)
    assert (tmp_path / "preds" / name).read_bytes() == b"mine"


def test_files_of_others_under_other_names_are_welcome(tmp_path):
    write_atomic(tmp_path / "photo.jpg", b"mine")
    write_atomic(tmp_path / "overlays" / "b.jpg", b"mine")
    write_run(tmp_path, [0], outputs=("panoptic",))
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_a_run_json_of_others_is_refused(tmp_path):
    write_atomic(tmp_path / "run.json", b'{"lr": 0.1}')
    with pytest.raises(UsageError, match=r"run\.json: this is no run\.json of odise"):
        open_run(tmp_path, overwrite=True)
    assert (tmp_path / "run.json").read_bytes() == b'{"lr": 0.1}'


def test_two_runs_in_one_folder_exit_75(tmp_path):
    with open_run(tmp_path / "preds") as folder:
        with pytest.raises(TryAgainError, match=rf"preds: in use .*{os.getpid()}") as info:
            open_run(tmp_path / "preds", overwrite=True)
        assert info.value.exit_code == 75
        folder.write(result(0))


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "preds").write_text("")
    with pytest.raises(UsageError, match=r"preds/\.odise/lock: cannot be written"):
        open_run(tmp_path / "preds")


def test_a_name_that_is_too_long_can_become_a_failure(tmp_path):
    image = record(0, name=f"{'x' * 260}.jpg")
    with open_run(tmp_path) as folder:
        with pytest.raises(ImageError, match="File name too long") as info:
            folder.write(result_of(image, np.ones((2, 2), np.int32)))
        folder.write_failure(FailedImage(record=image, error=str(info.value)))
        folder.finish([image], {})
    assert [row["status"] for row in rows_of(tmp_path)] == ["failed"]


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this process may not mount a disk")
    try:
        with pytest.raises(TryAgainError, match="cannot be written now: No space left") as info:
            write_run(disk / "preds", range(30))
        assert info.value.exit_code == 75
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        with open_run(disk / "preds") as folder:
            assert 0 < len(folder.status) < 30
        write_run(disk / "preds", range(30))
        write_run(tmp_path / "expected", range(30))
        assert files_of(disk / "preds") == files_of(tmp_path / "expected")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
