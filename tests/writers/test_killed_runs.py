"""SIGKILL at any moment, then the same command again: the files of an uninterrupted run."""

import random
import subprocess
import sys
import time
from pathlib import Path

from tests.writers.fakes import files_of, write_run

ROOT = Path(__file__).resolve().parents[2]
NUM_IMAGES = 25


def python(module, *args):
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, args)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def test_killed_at_every_step_a_run_ends_as_if_it_never_was(tmp_path):
    with python("tests.writers.crash_points", tmp_path) as process:
        num_points, _ = process.communicate()
    assert process.returncode == 0
    # At least 30 calls change the disk, each with two moments to be killed at.
    assert int(num_points) > 60


def test_killed_at_random_moments_a_run_ends_as_if_it_never_was(tmp_path):
    moments = random.Random(0)
    out = tmp_path / "preds"
    num_killed = 0
    for _ in range(4):
        with python("tests.writers.fakes", out, NUM_IMAGES) as process:
            assert process.stdout.readline() == "started\n"
            time.sleep(moments.uniform(0.0, 0.15))
            process.kill()
        num_killed += process.returncode == -9
    with python("tests.writers.fakes", out, NUM_IMAGES) as process:
        process.communicate()
    assert process.returncode == 0
    assert num_killed > 0
    write_run(tmp_path / "expected", range(NUM_IMAGES), failing=(3,))
    assert files_of(out) == files_of(tmp_path / "expected")
