"""The job files in docs/jobs: what they run, and that it gives the files of one run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from odise_cli.cli.app import main
from tests.runs import VOCAB, segment, write_images
from tests.writers.fakes import files_of

JOBS = Path(__file__).resolve().parents[1] / "docs" / "jobs"
STAND_IN = """#!{python}
import json, os, pathlib, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]]) + "\\n")
print(os.environ.get("PRINTS", ""))
sys.exit(int(os.environ.get("EXITS", "0")))
"""
"""A program that writes down how it was called."""


@pytest.fixture
def shell(tmp_path):
    """Runs a script with stand-ins for `odise` and Slurm; (exit code, calls)."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("odise", "scontrol", "sbatch"):
        (programs / name).write_text(STAND_IN.format(python=sys.executable))
        (programs / name).chmod(0o755)
    (programs / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "srun").chmod(0o755)

    def run(argv, **variables):
        calls = tmp_path / "calls"
        calls.unlink(missing_ok=True)
        path = f"{programs}:{os.environ['PATH']}"
        env = {"PATH": path, "CALLS": str(calls), **{k: str(v) for k, v in variables.items()}}
        done = subprocess.run([str(word) for word in argv], env=env, capture_output=True)
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, [json.loads(line) for line in lines]

    return run


@pytest.fixture
def job(tmp_path, small_model):
    """The variables that a user sets: seven images, a folder with a space in its name."""
    images = write_images(tmp_path / "my imgs", [f"{number}.png" for number in range(7)])
    (images / "4.png").write_bytes(b"no image")
    return {"IMAGES": images, "VOCAB": VOCAB, "MODEL": small_model, "OUT": tmp_path / "my preds"}


def commands_of(name):
    """The shell command of a Kubernetes job and its variables."""
    document = yaml.safe_load((JOBS / name).read_text())
    (container,) = document["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    return document["spec"], container["command"], variables


def slurm_calls(shell, job):
    for index in (1, 2, 3):
        variables = {"SLURM_ARRAY_TASK_ID": index, "SLURM_ARRAY_JOB_ID": 77, "SHARDS": 3}
        yield lambda v=variables: shell([JOBS / "slurm-shard.sh"], **job, **v)
    yield lambda: shell([JOBS / "slurm-merge.sh"], OUT=job["OUT"], SHARDS=3)


def kubernetes_calls(shell, job):
    spec, command, variables = commands_of("kubernetes-shards.yaml")
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == 3
    assert variables.keys() == {*job, "SHARDS"}
    for index in range(3):
        own = {**variables, **job, "JOB_COMPLETION_INDEX": index}
        yield lambda own=own: shell(command, **own)
    _, command, variables = commands_of("kubernetes-merge.yaml")
    assert variables == {"OUT": "/data/preds", "SHARDS": "3"}
    yield lambda: shell(command, OUT=job["OUT"], SHARDS=3)


@pytest.mark.parametrize("calls_of", [slurm_calls, kubernetes_calls])
def test_three_shards_and_a_merge_are_one_run(calls_of, shell, job, tmp_path):
    codes = []
    for call in calls_of(shell, job):
        code, (argv,) = call()
        assert (code, argv[0]) == (0, "odise")
        codes.append(main([*argv[1:], "--quiet"]))
    assert codes == [0, 0, 3, 3]
    flags = ["--vocab", VOCAB, "--model", job["MODEL"], "--quiet"]
    assert segment(job["IMAGES"], *flags, "--out", tmp_path / "whole") == 3
    assert files_of(job["OUT"] / "merged") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("exits", "code", "is_queued_again"),
    [(0, 0, False), (3, 0, False), (75, 0, True), (143, 0, True), (5, 5, False)],
)
def test_a_slurm_task_ends_as_odise_did(shell, job, exits, code, is_queued_again):
    variables = {"SLURM_ARRAY_TASK_ID": 2, "SLURM_ARRAY_JOB_ID": 77, "SHARDS": 3}
    got, calls = shell([JOBS / "slurm-shard.sh"], **job, **variables, EXITS=exits)
    if is_queued_again:
        # The stand-in for scontrol exits like that for odise.
        assert (got, calls[1:]) == (exits, [["scontrol", "requeue", "77_2"]])
    else:
        assert (got, len(calls)) == (code, 1)


@pytest.mark.parametrize(("exits", "code"), [(0, 0), (3, 0), (75, 75), (143, 143), (2, 2)])
def test_a_pod_ends_as_odise_did(shell, job, exits, code):
    _, command, variables = commands_of("kubernetes-shards.yaml")
    own = {**variables, **job, "JOB_COMPLETION_INDEX": 0, "EXITS": exits}
    assert shell(command, **own)[0] == code


def test_slurm_gets_an_array_and_a_merge_that_waits_for_it(shell, job):
    code, calls = shell([JOBS / "slurm-submit.sh"], **job, SHARDS=100, PRINTS="77;cluster")
    assert code == 0
    assert calls == [
        ["sbatch", "--parsable", "--array=1-100", "slurm-shard.sh"],
        ["sbatch", "--dependency=afterok:77", "slurm-merge.sh"],
    ]


@pytest.mark.parametrize("missing", ["IMAGES", "VOCAB", "OUT"])
def test_a_variable_that_was_forgotten_stops_the_submission(shell, job, missing):
    del job[missing]
    code, calls = shell([JOBS / "slurm-submit.sh"], **job)
    assert (code != 0, calls) == (True, [])
