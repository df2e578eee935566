"""Results into a run folder by threads: what is counted, what is waited for, what ends a run."""

import threading

import numpy as np
import pytest

from odise_cli.commands.result_writers import ResultWriters, Tally
from odise_cli.data.loader import LoadedBatch
from odise_cli.errors import ImageError, TryAgainError, UsageError
from odise_cli.storage import Url
from odise_cli.structures import FailedImage
from tests.runs import read_lines
from tests.writers.fakes import open_run, record, result, result_of


def new_tally(num_pending=10, *, fail_fast=False, max_failures=None):
    """A tally, and the list of what it says of its progress."""
    seen = []
    tally = Tally(
        num_pending=num_pending,
        on_progress=lambda *counts: seen.append(counts),
        fail_fast=fail_fast,
        max_failures=max_failures,
    )
    return tally, seen


def failure(number):
    return FailedImage(record=record(number), error=f"image{number}.jpg: is empty.")


def batch_of(*numbers, failed=(), pending=None):
    pending = (*numbers, *failed) if pending is None else pending
    return LoadedBatch(
        images=tuple(result(number).image for number in numbers),
        failures=tuple(failure(number) for number in failed),
        pending=frozenset(record(number).name for number in pending),
    )


def results_of(*numbers):
    return [result(number) for number in numbers]


def write(folder, tally, *batches):
    """Hand over batches, each with the numbers of its results, and wait for them."""
    with ResultWriters(folder, tally) as writers:
        for batch, numbers in batches:
            writers.write(batch, [result(number, size=(240, 360)) for number in numbers])


def written(folder):
    return sorted(line["name"] for line in read_lines(folder / "manifest.jsonl"))


def test_everything_is_written_when_the_block_ends(tmp_path):
    tally, seen = new_tally()
    with open_run(tmp_path) as folder:
        with ResultWriters(folder, tally) as writers:
            writers.write(batch_of(0, 1, failed=[2]), results_of(0, 1))
            writers.write(batch_of(*range(3, 9)), results_of(*range(3, 9)))
        assert written(tmp_path) == sorted(record(number).name for number in range(9))
        assert (tally.num_done, tally.num_failed, tally.num_settled) == (8, 1, 9)
    assert seen[0] == (0, 0, 10)
    assert seen[1] == (0, 1, 10)
    assert seen[-1] == (8, 1, 10)
    assert [done + failed for done, failed, _ in seen] == list(range(10))
    numbers = (0, 1, *range(3, 9))
    assert tally.num_segments == sum(len(result(n).segmentation.segments) for n in numbers)
    assert tally.stage_ms["features"] == 8 * 20.0  # what each of the fakes says
    assert tally.stage_ms["write"] > 0


def test_company_of_a_batch_is_not_written(tmp_path):
    tally, _ = new_tally(2)
    with open_run(tmp_path) as folder, ResultWriters(folder, tally) as writers:
        writers.write(batch_of(0, 1, 2, failed=[], pending=[1]), results_of(0, 1, 2))
    assert written(tmp_path) == [record(1).name]
    assert tally.num_done == 1


def test_an_image_that_fits_no_format_is_a_failure(tmp_path):
    tally, _ = new_tally(2)
    with open_run(tmp_path, outputs=("panoptic", "overlay")) as folder:
        with ResultWriters(folder, tally) as writers:
            # One pixel more than a JPEG's sides may have.
            writers.write(batch_of(0), [result_of(record(0), np.zeros((1, 65_501), np.int32))])
            writers.write(batch_of(1), results_of(1))
        lines = {line["name"]: line for line in read_lines(tmp_path / "manifest.jsonl")}
    assert (tally.num_done, tally.num_failed) == (1, 1)
    assert lines[record(0).name]["status"] == "failed"
    assert "is 65501×1 px" in lines[record(0).name]["error"]
    assert tally.first_failures == [(record(0).name, lines[record(0).name]["error"])]
    assert not list((tmp_path / "panoptic").rglob("image0.png"))


def test_the_first_failures_are_kept_for_people(tmp_path):
    tally, _ = new_tally()
    with open_run(tmp_path) as folder, ResultWriters(folder, tally) as writers:
        writers.write(batch_of(failed=range(9)), [])
    assert tally.num_failed == 9
    assert tally.first_failures == [(record(n).name, f"image{n}.jpg: is empty.") for n in range(5)]


def test_fail_fast_ends_the_run_at_the_first_failure(tmp_path):
    tally, _ = new_tally(fail_fast=True)
    message = r"^image2\.jpg: is empty\. Stopped at it because of --fail-fast\.$"
    with open_run(tmp_path) as folder:
        with pytest.raises(ImageError, match=message):
            write(folder, tally, (batch_of(0, 1), [0, 1]), (batch_of(4, failed=[2, 3]), [4]))
        # What had been handed over before is there.
        assert written(tmp_path) == [record(n).name for n in (0, 2, 1)]


def test_one_failure_too_many_ends_the_run(tmp_path):
    tally, _ = new_tally(max_failures=2)
    message = (
        r"^image3\.jpg: is empty\. It is failure number 3\. "
        r"Expected at most 2 \(--max-failures\)\."
    )
    with open_run(tmp_path) as folder:
        write(folder, tally, (batch_of(failed=[1, 2]), []))
        with pytest.raises(ImageError, match=message):
            write(folder, tally, (batch_of(failed=[3, 4]), []))
    assert tally.num_failed == 3


def test_no_failure_may_be_allowed(tmp_path):
    tally, _ = new_tally(max_failures=0)
    with (
        open_run(tmp_path) as folder,
        pytest.raises(ImageError, match=r"failure number 1\. Expected at most 0"),
    ):
        write(folder, tally, (batch_of(failed=[1]), []))


def test_a_folder_that_cannot_be_written_ends_the_run(tmp_path):
    tally, _ = new_tally()
    with open_run(tmp_path) as folder:
        (tmp_path / "overlays").write_text("in the way of a folder")
        with pytest.raises(UsageError, match=r"overlays/.*: cannot be written: Not a directory\."):
            write(folder, tally, (batch_of(0), [0]))
    assert tally.num_done == 0


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(tmp_path, small_files):
    tally, _ = new_tally()
    with open_run(tmp_path, outputs=("panoptic", "overlay")) as folder:
        write(folder, tally, (batch_of(0), [0]))
        small_files(5000)
        with pytest.raises(TryAgainError, match=r"overlays/.*: cannot be written now: File too la"):
            write(folder, tally, (batch_of(2), [2]))
        small_files(None)
        assert written(tmp_path) == [record(0).name]
    assert tally.num_done == 1


def test_no_thread_is_left(tmp_path):
    with open_run(tmp_path) as folder, ResultWriters(folder, new_tally()[0]) as writers:
        writers.write(batch_of(0), results_of(0))
        assert any(thread.name.startswith("write") for thread in threading.enumerate())
    assert not any(thread.name.startswith("write") for thread in threading.enumerate())


def test_many_requests_to_an_object_store_are_on_their_way_at_once(bucket, monkeypatch):
    together = threading.Barrier(8)
    upload = type(bucket).pipe_file

    def waiting_for_others(self, path, data, **options):
        if "/panoptic/" in path:
            together.wait(timeout=10)
        return upload(self, path, data, **options)

    monkeypatch.setattr(type(bucket), "pipe_file", waiting_for_others)
    tally, _ = new_tally()
    with open_run(Url("memory://bucket/preds"), outputs=("panoptic",)) as folder:
        write(folder, tally, (batch_of(*range(8)), range(8)))
    assert tally.num_done == 8
