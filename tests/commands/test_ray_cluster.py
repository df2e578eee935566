"""`--engine ray`: the files of the local engine, whatever dies."""

import pickle
import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from odise_cli.commands.model_source import find_model
from odise_cli.commands.ray_cluster import _Actor
from odise_cli.commands.segment_pipeline import SegmentJob, ThisMachine
from odise_cli.config import SegmentConfig
from odise_cli.data.plan import plan_batches
from odise_cli.data.records import make_records
from odise_cli.errors import CheckpointError
from odise_cli.vocabulary.loader import load_vocabulary
from tests.runs import ALL_OUTPUTS, VOCAB, segment, write_images
from tests.writers.fakes import files_of

NUM_IMAGES, BROKEN = 24, "b/3.png"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Small images, one of which is broken."""
    names = [f"{'ab'[number % 2]}/{number}.png" for number in range(NUM_IMAGES)]
    folder = write_images(tmp_path_factory.mktemp("ray") / "imgs", names)
    (folder / BROKEN).write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def argv(images, small_model):
    flags = ["--vocab", VOCAB, "--model", small_model, "--write", ALL_OUTPUTS, "--batch-size", 2]
    return [images, *flags, "--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def expected(argv, tmp_path_factory):
    """The files of the local engine."""
    out = tmp_path_factory.mktemp("local") / "preds"
    assert segment(*argv, "--out", out) == 3
    return files_of(out)


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, as small as it gets."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'odise-cli[ray]'")
    pytest.importorskip("ray.data", reason="Ray Data is not installed")
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(
        num_cpus=2,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


def actors():
    """The processes of Ray's actors."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with_title = [process.name(), *process.cmdline()]
        if any(text.startswith("ray::MapWorker") for text in with_title):
            found.append(process)
    return found


def num_lines(out):
    path = out / "manifest.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_an_actor_that_is_killed_in_mid_run_changes_no_bit(argv, expected, cluster, tmp_path):
    out, killed = tmp_path / "preds", []
    # Either engine goes on where the other has stopped.
    assert segment(*argv, "--out", out, "--limit", 5) == 0
    assert num_lines(out) == 5

    def kill_one():
        deadline = time.monotonic() + 60
        while num_lines(out) < 7 and time.monotonic() < deadline:
            time.sleep(0.005)
        running = actors()
        running[0].send_signal(signal.SIGKILL)
        killed.append((len(running), num_lines(out)))

    killer = threading.Thread(target=kill_one)
    killer.start()
    assert segment(*argv, "--out", out, "--engine", "ray", "--ray-actors", 2) == 3
    killer.join()
    ((num_actors, num_done),) = killed
    assert num_actors == 2
    assert 7 <= num_done < NUM_IMAGES
    assert files_of(out) == expected
    assert segment(*argv, "--out", out) == 3
    assert files_of(out) == expected


@pytest.fixture
def job(argv, images, small_model):
    config = SegmentConfig(
        sources=(str(images),), vocab=(VOCAB,), model=str(small_model), write=("panoptic",)
    )
    vocabulary, _ = load_vocabulary(config.vocab)
    source = find_model(config.model, weights=None)
    return SegmentJob(
        config=config, source=source, vocabulary=vocabulary, placement=ThisMachine().place(config)
    )


def batches_of(images, names):
    records = make_records([images / name for name in names], images)
    planned = plan_batches(records, batch_size=2, status={}, shard=None, limit=3)
    rows = np.empty(2, dtype=object)
    rows[:] = [pickle.dumps(batch) for batch in planned]
    return {"batch": rows}


def outcomes_of(job, rows):
    """What an actor answers, without Ray."""
    return [pickle.loads(row["outcome"][0]) for row in _Actor(pickle.dumps(job))(rows)]


def test_an_actor_gives_back_bytes_of_what_is_wanted(job, images):
    rows = batches_of(images, ["a/0.png", BROKEN, "a/2.png", "a/4.png"])
    first, second = outcomes_of(job, rows)
    assert [image.record.name for image in first.images] == ["a/0.png"]
    assert [failed.record.name for failed in first.failures] == [BROKEN]
    # The fourth image is beyond the limit: computed with the third, and not sent.
    assert [image.record.name for image in second.images] == ["a/2.png"]
    assert second.images[0].files["panoptic"].startswith(b"\x89PNG")


def test_an_actor_computes_with_as_many_threads_as_the_local_engine(job, images):
    before = torch.get_num_threads()
    three = replace(job, placement=replace(job.placement, num_threads=3))
    try:
        outcomes_of(three, batches_of(images, ["a/0.png", "a/2.png", "a/4.png"]))
        assert (job.placement.num_threads, torch.get_num_threads()) == (before, 3)
    finally:
        torch.set_num_threads(before)


def test_what_ends_a_run_comes_back_as_itself(job, images, tmp_path):
    head = tmp_path / "head.safetensors"
    head.write_bytes(b"no weights")
    source = find_model(job.config.model, weights=head)
    (error,) = outcomes_of(
        replace(job, source=source), batches_of(images, ["a/0.png", "a/2.png", "a/4.png"])
    )
    assert isinstance(error, CheckpointError)
    assert str(head) in str(error)


@pytest.mark.parametrize("flag", ["--ray-address", "--ray-actors"])
def test_flags_of_ray_need_its_engine(argv, tmp_path, capsys, flag):
    assert segment(*argv, "--out", tmp_path / "preds", flag, "3") == 2
    assert f"{flag}: was given without --engine ray." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--engine", "spark"], "--engine: 'spark' is unknown. Expected local, ray."),
        (["--engine", "ray", "--ray-actors", "0"], "--ray-actors: 0 is too small."),
    ],
)
def test_values_that_mean_nothing(argv, tmp_path, capsys, flags, message):
    assert segment(*argv, "--out", tmp_path / "preds", *flags) == 2
    assert message in capsys.readouterr().err


def test_without_ray_one_line_says_how_to_get_it(argv, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert segment(*argv, "--out", tmp_path / "preds", "--engine", "ray") == 2
    err = capsys.readouterr().err
    assert "--engine ray: Ray is not installed" in err
    assert "pip install 'odise-cli[ray]'" in err
    assert not (tmp_path / "preds").exists()


def test_a_cluster_that_does_not_answer(argv, tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'odise-cli[ray]'")
    # Nothing listens at port 1 of this machine.
    address = "127.0.0.1:1"
    flags = ["--engine", "ray", "--ray-address", address]
    assert segment(*argv, "--out", tmp_path / "preds", *flags) == 75
    err = capsys.readouterr().err
    assert f"--ray-address: no cluster answers at {address} (Connection refused)." in err
    assert not (tmp_path / "preds").exists()
