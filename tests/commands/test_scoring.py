"""Accumulators that several processes feed."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from odise_cli.commands import scoring
from odise_cli.commands.evaluation_figures import Scorers
from odise_cli.commands.scoring import score_images
from odise_cli.errors import TryAgainError, UsageError
from odise_cli.evaluation.average_precision import AveragePrecision, thing_instances
from odise_cli.evaluation.mean_iou import MeanIoU
from odise_cli.evaluation.pairing import ImagePair
from odise_cli.evaluation.panoptic_quality import PanopticQuality
from odise_cli.structures import LabelRuns, Labels
from tests.evaluation.scenes import NUM_CATEGORIES, disturbed, random_map, regions_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IS_THING = np.array([True, True, False, True])
PAIRS = [ImagePair(name=str(number), predicted_name=str(number)) for number in range(11)]


def empty_scorers():
    return Scorers(
        is_thing=IS_THING,
        panoptic=PanopticQuality(NUM_CATEGORIES),
        instances=AveragePrecision(IS_THING),
        semantic=MeanIoU(NUM_CATEGORIES),
    )


def read(pair):
    """Truth and a prediction that overlaps it, as different as the images' names."""
    rng = np.random.default_rng(int(pair.name))
    truth_HW = random_map(rng, (12, 16))
    labels = []
    for map_HW in (truth_HW, disturbed(rng, truth_HW)):
        semantic_HW = (map_HW % NUM_CATEGORIES).astype(np.uint16)
        known = Labels(
            panoptic=LabelRuns.of_map(map_HW),
            regions=regions_of(rng, map_HW),
            semantic=LabelRuns.of_map(semantic_HW),
        )
        instances = thing_instances(known, IS_THING)
        labels.append(
            Labels(
                panoptic=known.panoptic,
                regions=known.regions,
                semantic=known.semantic,
                instances=instances,
            )
        )
    return labels[0], labels[1]


def scored(read=read, *, should_stop=lambda: False):
    scorers, progress = empty_scorers(), []
    is_complete = score_images(
        PAIRS, scorers, read=read, on_scored=progress.append, should_stop=should_stop
    )
    return scorers.compute(), progress, is_complete


@pytest.fixture
def two_processes(monkeypatch):
    monkeypatch.setattr(scoring, "CHUNK", 2)
    monkeypatch.setattr(scoring, "MIN_CHUNKS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def test_any_number_of_processes_gives_the_same_bits(two_processes, monkeypatch):
    found = []
    for num_processes in (1, 2):
        monkeypatch.setattr(os, "cpu_count", lambda n=num_processes: n)
        scores, progress, is_complete = scored()
        assert is_complete
        assert progress == [2, 4, 6, 8, 10, 11]
        found.append((scores.figures(), scores.ranking, scores.panoptic.iou_sum.tolist()))
    assert found[0] == found[1]
    assert 0 < found[0][0]["PQ"] < 100


def test_chunks_are_the_whole():
    scorers = empty_scorers()
    for number, pair in enumerate(PAIRS):
        scorers.update(number, *read(pair))
    whole, chunked = scorers.compute(), scored()[0]
    assert chunked.figures() == whole.figures()
    assert chunked.ranking == whole.ranking


def read_all_but_one(pair):
    if pair.name == "7":
        raise UsageError("x/7.png: is torn. Expected a whole one. Mend it.")
    return read(pair)


def test_what_cannot_be_read_is_said(two_processes):
    with pytest.raises(UsageError, match=r"^x/7\.png: is torn\."):
        scored(read_all_but_one)


def kill_helper(pair):
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(pair)


def test_a_process_that_is_killed_is_no_lower_score(two_processes):
    with pytest.raises(TryAgainError, match="A process that scores images was killed"):
        scored(kill_helper)


def test_asked_to_stop_it_stops(two_processes):
    _, progress, is_complete = scored(should_stop=iter([False, True]).__next__)
    assert (progress, is_complete) == ([2], False)


def leave_pid_and_wait(_):
    Path(os.environ["PIDS"], str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they end with their pipe")
def test_helpers_end_with_a_command_that_is_killed(tmp_path):
    script = (
        "import os; import tests.commands.test_scoring as t\n"
        "if __name__ == '__main__':\n"
        "    t.scoring.CHUNK = t.scoring.MIN_CHUNKS = 2; os.cpu_count = lambda: 2\n"
        "    t.scored(t.leave_pid_and_wait)\n"
    )
    (tmp_path / "script.py").write_text(script)
    pids = tmp_path / "pids"
    pids.mkdir()
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        env={**os.environ, "PIDS": str(pids), "PYTHONPATH": str(root)},
    )
    deadline = time.monotonic() + 60
    while len(list(pids.iterdir())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    while any(is_running(int(path.name)) for path in pids.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
