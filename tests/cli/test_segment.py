"""`odise segment` from the shell's side: words, exit codes, signals. Files are tests/commands'."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from odise_cli.cli.app import main


@pytest.fixture
def images(tmp_path):
    """Three small photographs in a folder."""
    folder = tmp_path / "imgs"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def argv(images, tmp_path):
    preds = str(tmp_path / "preds")
    return ["segment", str(images), "--vocab", "cat; sky", "--model", "tiny", "--out", preds]


def test_a_run_ends_with_a_summary_on_stdout(argv, tmp_path, capsys):
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("3 images: 3 done; ")
    assert f"results: {tmp_path / 'preds'}" in out.splitlines()
    assert "warning" not in err
    assert main(argv) == 0
    assert capsys.readouterr().out.startswith("3 images: 0 done, 3 done before; ")


def test_json_is_the_last_line_of_stdout_and_logs_are_objects(argv, capsys):
    assert main([*argv, "--json", "--log-format", "json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out.splitlines()[-1])
    assert (report["num_done"], report["num_failed"]) == (3, 0)
    assert all("message" in json.loads(line) for line in err.splitlines())


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(argv, tmp_path, capsys):
    assert main([*argv, "--dry-run", "--json", "--shard", "1/3"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["num_images"], plan["num_selected"], plan["num_categories"]) == (3, 1, 2)
    assert not (tmp_path / "preds").exists()


def test_an_image_that_is_none_is_a_warning_and_exit_3(argv, images, tmp_path, capsys):
    (images / "1.jpg").write_bytes(b"")
    assert main([*argv, "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    failures = tmp_path / "preds" / "failures.txt"
    assert err.startswith(f"warning: 1 of 3 images without a result, listed in {failures}")
    assert "1.jpg: " in err


def test_no_images_is_exit_4(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    argv = ["segment", str(tmp_path / "empty"), "--vocab", "cat", "--model", "tiny"]
    assert main([*argv, "--out", str(tmp_path / "preds")]) == 4
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_after_the_batch_in_hand(argv, images, tmp_path, number, code):
    for copy in range(3, 20):
        os.link(images / "0.jpg", images / f"{copy}.jpg")
    process = subprocess.Popen(
        [sys.executable, "-m", "odise_cli", *argv, "--batch-size", "1", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    manifest = tmp_path / "preds" / "manifest.jsonl"
    while process.poll() is None and not (manifest.exists() and manifest.stat().st_size):
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    report = json.loads(out)
    assert report["is_interrupted"]
    assert 0 < report["num_done"] < 20
    assert report["num_done"] == len(manifest.read_text(encoding="utf-8").splitlines())
    assert "finishing the batch in hand" in err
