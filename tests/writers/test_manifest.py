import json

import numpy as np
import pytest

from odise_cli.errors import UsageError
from odise_cli.structures import FailedImage, ImageRecord
from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.layout import JOURNAL, MANIFEST
from odise_cli.writers.manifest import Row, done_line, failed_line, json_line, load_rows, parse_line
from tests.writers.fakes import record

OUTPUTS = ["panoptic"]


def done(number, image=None):
    return done_line(image or record(number), size=(2, 3), num_segments=4, stage_ms={"decode": 0.5})


def journal(number):
    return json_line({"name": record(number).name, "stem": record(number).stem, "panoptic": {}})


def make_folder(folder, *, manifest, journal, files):
    write_atomic(folder / MANIFEST, b"".join(manifest))
    write_atomic(folder / JOURNAL, b"".join(journal))
    for number in files:
        write_atomic(folder / "panoptic" / f"{record(number).stem}.png", b"")


def test_a_line_of_a_result_by_hand():
    line = done_line(record(1), size=(2, 3), num_segments=4, stage_ms={"decode": np.pi, "write": 1})
    assert json.loads(line) == {
        "name": "b/image1.jpg",
        "image_id": 2,
        "stem": "b/image1",
        "status": "done",
        "size": [2, 3],
        "num_segments": 4,
        "ms": {"decode": 3.142, "write": 1},
    }


def test_a_line_of_a_failure_by_hand():
    assert json.loads(failed_line(FailedImage(record=record(1), error="is truncated"))) == {
        "name": "b/image1.jpg",
        "image_id": 2,
        "stem": "b/image1",
        "status": "failed",
        "error": "is truncated",
        "path": "/photos/b/image1.jpg",
    }


def test_odd_names_stay_on_one_line_of_ascii():
    name = "é\n\udcff\u2028.jpg"
    image = ImageRecord(path=record(1).path, name=name, stem=name[:-4], image_id=1)
    line = done(0, image)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert parse_line(line)["name"] == name


def test_an_image_is_done_with_its_line_its_journal_and_its_files(tmp_path):
    make_folder(
        tmp_path,
        manifest=[done(0), done(1), done(2)],
        journal=[journal(0), journal(1), journal(2)],
        files=[0, 1, 2],
    )
    rows, unfinished = load_rows(tmp_path, OUTPUTS)
    assert list(rows) == [record(n).name for n in range(3)]
    assert rows[record(1).name] == Row(2, "b/image1", "done", len(done(0)), len(journal(0)))
    assert unfinished == set()


def test_an_image_without_its_file_or_its_journal_is_lost(tmp_path):
    make_folder(tmp_path, manifest=[done(0), done(1)], journal=[journal(0)], files=[1])
    rows, unfinished = load_rows(tmp_path, OUTPUTS)
    assert [row.status for row in rows.values()] == ["lost", "lost"]
    assert unfinished == {record(0).stem, record(1).stem}


def test_a_journal_line_alone_is_an_unfinished_image(tmp_path):
    make_folder(tmp_path, manifest=[], journal=[journal(0)], files=[0])
    assert load_rows(tmp_path, OUTPUTS) == ({}, {record(0).stem})


def test_later_lines_supersede_earlier_ones(tmp_path):
    failed = failed_line(FailedImage(record=record(0), error="is truncated"))
    make_folder(
        tmp_path,
        manifest=[failed, done(1), done(0)],
        journal=[journal(0), journal(1), journal(0)],
        files=[0, 1],
    )
    rows, _ = load_rows(tmp_path, OUTPUTS)
    row = rows[record(0).name]
    assert row.status == "done"
    assert row.manifest_offset == len(failed) + len(done(1))
    assert row.journal_offset == len(journal(0)) + len(journal(1))


@pytest.mark.parametrize(
    "noise", [b"\0" * 40 + b"\n", b"[]\n", b"5\n", b'{"name": 5, "stem": "x"}\n', b"\n", b"\xff\n"]
)
def test_a_corrupt_line_counts_for_nothing(tmp_path, noise):
    make_folder(tmp_path, manifest=[noise, done(0)], journal=[noise, journal(0)], files=[0])
    rows, unfinished = load_rows(tmp_path, OUTPUTS)
    assert [(name, row.status) for name, row in rows.items()] == [(record(0).name, "done")]
    assert unfinished == set()


def test_a_stem_that_now_belongs_to_a_finished_image_is_not_unfinished(tmp_path):
    earlier = json_line({"name": "gone.jpg", "stem": record(0).stem})
    make_folder(tmp_path, manifest=[done(0)], journal=[earlier, journal(0)], files=[0])
    _, unfinished = load_rows(tmp_path, OUTPUTS)
    assert unfinished == set()


def test_a_stem_that_leads_out_of_the_folder_is_refused(tmp_path):
    image = ImageRecord(path=record(1).path, name="a.jpg", stem="../../a", image_id=1)
    line = json_line({"name": "a.jpg", "stem": "../../a"})
    make_folder(tmp_path, manifest=[done(0, image)], journal=[line], files=[])
    with pytest.raises(UsageError, match=r"the stem '\.\./\.\./a' leads out of the folder"):
        load_rows(tmp_path, OUTPUTS)


def test_an_empty_folder_has_no_rows(tmp_path):
    assert load_rows(tmp_path, OUTPUTS) == ({}, set())
