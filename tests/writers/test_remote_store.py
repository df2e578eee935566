"""Run folders in an object store, cut short at every request."""

import json
import threading
import time

import pytest

from odise_cli.commands.merge import merge_runs
from odise_cli.errors import SettingsChangedError, TryAgainError, UsageError
from odise_cli.storage import Url
from odise_cli.writers import remote_lock, remote_store
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.layout import LOCK
from odise_cli.writers.remote_store import RemoteStore
from tests.writers.fakes import files_of, open_run, record, result, write_run

PREDS = Url("memory://bucket/preds")
NUMBERS, FAILING = (0, 1), (1,)


@pytest.fixture
def local(tmp_path):
    write_run(tmp_path / "local", NUMBERS, failing=FAILING)
    return tmp_path / "local"


def fetched(bucket, folder):
    """The files of the run in the store; it has no lock that outlives its holder."""
    bucket.get("/bucket/preds/", f"{folder}/", recursive=True)
    return {**files_of(folder), LOCK: b""}


def forget_the_holder(bucket):
    """Let a run that is dead have been so for long."""
    place = f"/bucket/preds/{LOCK}"
    if bucket.exists(place):
        bucket.pipe_file(place, json.dumps({**json.loads(bucket.cat(place)), "time": 0}).encode())


def test_the_files_are_those_of_a_local_run(bucket, local, tmp_path):
    write_run(PREDS, NUMBERS, failing=FAILING)
    assert fetched(bucket, tmp_path / "got") == files_of(local)


def test_a_run_that_is_cut_short_at_any_request_can_be_taken_up(
    bucket, local, tmp_path, monkeypatch
):
    snapshots = []
    for name in ("pipe_file", "rm_file"):
        call = getattr(type(bucket), name)

        def noted(self, *args, call=call, **options):
            answer = call(self, *args, **options)
            snapshots.append({k: v.getvalue() for k, v in self.store.items()})
            return answer

        monkeypatch.setattr(type(bucket), name, noted)
    # Journal and manifest are uploaded all the time, not just at the end.
    monkeypatch.setattr(remote_store, "RENEWED_EVERY_S", 0.001)
    write_run(PREDS, NUMBERS, failing=FAILING)
    monkeypatch.undo()
    assert len(snapshots) > 15
    for number, snapshot in enumerate(snapshots):
        bucket.store.clear()
        for name, data in snapshot.items():
            bucket.pipe_file(name, data)
        forget_the_holder(bucket)
        write_run(PREDS, NUMBERS, failing=FAILING)
        assert fetched(bucket, tmp_path / str(number)) == files_of(local)


def test_what_a_stopped_run_has_done_is_not_done_again(bucket):
    with open_run(PREDS) as folder:
        folder.write(result(0))
    logs = [name for name in bucket.find("/bucket/preds/.odise") if "part-00000001-" in name]
    assert [name.rsplit("/", 1)[1].split(".part")[0] for name in logs] == ["journal.jsonl"]
    assert bucket.glob("/bucket/preds/manifest.jsonl.part-*") != []
    with open_run(PREDS) as folder:
        assert folder.status == {record(0).name: "done"}


def test_an_image_whose_object_is_gone_is_done_again(bucket):
    write_run(PREDS, [0, 2])
    bucket.rm_file(f"/bucket/preds/semantic/{record(2).stem}.png")
    with open_run(PREDS) as folder:
        assert folder.status == {record(0).name: "done"}


def test_overwriting_leaves_nothing_of_the_earlier_run(bucket, tmp_path):
    write_run(PREDS, NUMBERS)
    bucket.pipe_file("/bucket/preds/panoptic/mine.png", b"mine")
    with open_run(PREDS, outputs=("segments",), overwrite=True) as folder:
        folder.finish([], {})
    assert {name.removeprefix("/bucket/preds/") for name in bucket.find("/bucket/preds")} == {
        *("run.json", "manifest.jsonl", "failures.txt", "segments.jsonl"),
        *(".odise/journal.jsonl", "panoptic/mine.png"),
    }


def test_other_settings_and_files_of_others_are_refused(bucket):
    write_run(PREDS, [0])
    with pytest.raises(SettingsChangedError, match=r"memory://bucket/preds: made with other"):
        open_run(PREDS, settings={"model": "label"})
    bucket.pipe_file("/bucket/other/panoptic/mine.png", b"mine")
    with pytest.raises(
        UsageError, match=r"memory://bucket/other: holds panoptic, but no run\.json"
    ):
        open_run(Url("memory://bucket/other"))


def test_two_runs_in_one_folder(bucket, monkeypatch):
    with open_run(PREDS):
        message = r"memory://bucket/preds: in use by another run \(process \d+ on .*\)\. One folder"
        with pytest.raises(TryAgainError, match=message):
            open_run(PREDS)
        with pytest.raises(TryAgainError, match=message), FinishedRun.open(PREDS):
            pass
        # A holder that has not been heard of for long is dead.
        now = time.time()
        monkeypatch.setattr(remote_lock.time, "time", lambda: now + remote_lock.EXPIRES_S + 1)
        with open_run(PREDS) as folder:
            folder.write(result(0))
        monkeypatch.undo()
    assert not bucket.exists(f"/bucket/preds/{LOCK}")


def test_a_run_whose_folder_was_taken_over_stops(bucket, monkeypatch):
    monkeypatch.setattr(remote_store, "RENEWED_EVERY_S", 0.01)
    with open_run(PREDS) as folder:
        place = f"/bucket/preds/{LOCK}"
        other = {"token": "other", "host": "far", "process": 7, "time": time.time()}
        bucket.pipe_file(place, json.dumps(other).encode())
        time.sleep(0.2)
        with pytest.raises(TryAgainError, match=r"in use by another run \(process 7 on far, seen"):
            folder.write(result(0))
    assert json.loads(bucket.cat(place))["token"] == "other"


@pytest.mark.parametrize("seconds", [0.0, remote_lock.EXPIRES_S])
def test_a_service_that_is_away_for_a_moment_ends_no_run(bucket, monkeypatch, seconds):
    monkeypatch.setattr(remote_store, "RENEWED_EVERY_S", 0.01)
    upload = type(bucket).pipe_file
    is_away = threading.Event()

    def away_for_the_lock(self, path, data, **options):
        if is_away.is_set() and path.endswith("lock"):
            raise ConnectionError("reset by peer")
        return upload(self, path, data, **options)

    monkeypatch.setattr(type(bucket), "pipe_file", away_for_the_lock)
    now = time.monotonic
    with open_run(PREDS) as folder:
        is_away.set()
        with monkeypatch.context() as patch:
            patch.setattr(remote_store.time, "monotonic", lambda: now() + seconds)
            time.sleep(0.2)
        if seconds:
            with pytest.raises(TryAgainError, match="lock: ConnectionError: reset by peer"):
                folder.write(result(0))
        else:
            folder.write(result(0))


def test_a_lock_that_nobody_can_read_belongs_to_nobody(bucket):
    bucket.pipe_file(f"/bucket/preds/{LOCK}", b"not json")
    write_run(PREDS, [0])
    assert not bucket.exists(f"/bucket/preds/{LOCK}")


def test_of_many_that_come_at_once_one_gets_the_lock(bucket):
    outcomes = []
    barrier = threading.Barrier(8)

    def come():
        barrier.wait()
        try:
            lock = remote_lock.RemoteLock(PREDS / LOCK, place=PREDS)
            lock.acquire()
            outcomes.append("got it")
        except TryAgainError:
            outcomes.append("in use")

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("got it") == 1


def test_a_service_that_fails_is_worth_another_try(bucket, monkeypatch):
    def refuse(*_args, **_options):
        raise ConnectionError("reset by peer")

    message = "memory://bucket/preds/panoptic/a/image0.png: ConnectionError: reset by peer"
    with open_run(PREDS) as folder, monkeypatch.context() as patch:
        patch.setattr(type(bucket), "pipe_file", refuse)
        with pytest.raises(TryAgainError, match=message):
            folder.write(result(0))


@pytest.mark.parametrize("is_remote", [False, True])
def test_shards_in_a_store_are_merged(bucket, tmp_path, is_remote):
    write_run(Url("memory://bucket/shards/1"), [0, 2])
    write_run(tmp_path / "2", [1])
    out = PREDS if is_remote else tmp_path / "merged"
    report = merge_runs([Url("memory://bucket/shards/1"), tmp_path / "2"], out)
    assert (report.num_done, report.to_json()["out"]) == (3, str(out))
    write_run(tmp_path / "expected", [0, 2, 1])
    got = fetched(bucket, tmp_path / "got") if is_remote else files_of(out)
    assert got == files_of(tmp_path / "expected")


def test_a_place_that_holds_no_run_cannot_be_merged(bucket):
    with pytest.raises(UsageError, match=r"memory://bucket/nothing: holds no results"):
        merge_runs([Url("memory://bucket/nothing")], PREDS)


def test_reading_changes_nothing(bucket):
    write_run(PREDS, [0])
    before = {name: value.getvalue() for name, value in bucket.store.items()}
    with RemoteStore.open(PREDS, is_exclusive=False) as store:
        assert store.is_file(store.path / "run.json")
    with FinishedRun.open(PREDS) as run:
        assert list(run.rows) == [record(0).name]
    assert {name: value.getvalue() for name, value in bucket.store.items()} == before
