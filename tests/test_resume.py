"""Killed, stopped or spoilt at any moment, the same command ends with the files of one run."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.runs import (
    ALL_OUTPUTS,
    VOCAB,
    picture,
    read_json,
    read_lines,
    segment,
    start_segment,
    write_images,
)
from tests.writers.fakes import files_of

NAMES = [f"{'ab'[number % 2]}/{number}.png" for number in range(12)]
BROKEN = "a/4.png"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve small images, one of which is broken."""
    folder = write_images(tmp_path_factory.mktemp("resume") / "imgs", NAMES)
    (folder / BROKEN).write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def flags(small_model):
    return ["--vocab", VOCAB, "--model", small_model, "--write", ALL_OUTPUTS, "--quiet"]


@pytest.fixture(scope="module")
def expected(images, flags, tmp_path_factory):
    """The files of a run that nothing interrupts, by batch size."""
    folder = tmp_path_factory.mktemp("expected")
    for batch_size in (1, 5):
        argv = [images, *flags, "--batch-size", batch_size, "--out", folder / str(batch_size)]
        assert finish(start_segment(*argv)) == 3
    return {batch_size: files_of(folder / str(batch_size)) for batch_size in (1, 5)}


def finish(process):
    """The exit code of a process that comes to its end by itself."""
    process.join(TIMEOUT_S)
    return process.exitcode


def num_lines(out):
    path = out / "manifest.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_lines(process, out, count):
    """Wait until so many images are settled, or the process has ended."""
    deadline = time.monotonic() + TIMEOUT_S
    while process.is_alive() and num_lines(out) < count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("batch_size", [1, 5])
def test_killed_again_and_again(images, flags, expected, tmp_path, batch_size):
    moments = random.Random(batch_size)
    out = tmp_path / "preds"
    argv = [images, *flags, "--batch-size", batch_size, "--out", out]
    codes = []
    for count in (0, 1, 3, 6, 8, 11):
        process = start_segment(*argv)
        wait_for_lines(process, out, count)
        time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        codes.append(finish(process))
        assert num_lines(out) >= count
    assert set(codes) <= {-9, 3}
    assert codes.count(-9) >= 4
    assert finish(start_segment(*argv)) == 3
    assert files_of(out) == expected[batch_size]
    leftovers = [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    assert leftovers == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(images, flags, expected, tmp_path, number, code):
    out = tmp_path / "preds"
    argv = [images, *flags, "--batch-size", 5, "--out", out, "--json"]
    # While the model is loaded, and when the first batch is there.
    for count in (0, 1):
        process = start_segment(*argv)
        wait_for_lines(process, out, count)
        while not (out / "run.json").exists():
            time.sleep(0.002)
        before = num_lines(out)
        os.kill(process.pid, number)
        assert finish(process) == code
        # The batch in hand is finished and no other begun; one may be on its way to the disk.
        assert num_lines(out) - before <= 10
        assert num_lines(out) < len(NAMES)
    assert finish(start_segment(*argv)) == 3
    assert files_of(out) == expected[5]


def test_a_second_signal_leaves_at_once_and_loses_nothing(images, flags, expected, tmp_path):
    out = tmp_path / "preds"
    argv = [images, *flags, "--batch-size", 1, "--out", out]
    process = start_segment(*argv, log=tmp_path / "log")
    wait_for_lines(process, out, 2)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    assert finish(process) in (130, 143)
    assert finish(start_segment(*argv)) == 3
    assert files_of(out) == expected[1]


def test_a_run_that_is_done_is_left_alone(images, flags, expected, tmp_path, capsys):
    out = tmp_path / "preds"
    argv = [images, *flags, "--batch-size", 5, "--out", out, "--json"]
    assert [finish(start_segment(*argv)) for _ in range(2)] == [3, 3]
    assert files_of(out) == expected[5]
    totals = read_json(out / "run.json")["totals"]
    assert (totals["num_finished_before"], totals["num_done"], totals["num_failed"]) == (11, 0, 1)


@pytest.fixture
def row(tmp_path):
    return write_images(tmp_path / "imgs", [f"image{number}.png" for number in range(1, 6)])


@pytest.fixture
def argv(row, flags, tmp_path):
    return [row, *flags, "--batch-size", 2, "--out", tmp_path / "preds"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--alpha", 0.9], "alpha 0.3 instead of 0.9"),
        (["--beta", 0.9], "beta 0.7 instead of 0.9"),
        (["--seed", 7], "seed 42 instead of 7"),
        (["--batch-size", 3], "batch_size 2 instead of 3"),
        (["--precision", "bf16"], 'precision "fp32" instead of "bf16"'),
        (["--overlap-threshold", 0.5], "overlap_threshold 0.8 instead of 0.5"),
        (["--object-mask-threshold", 0.5], "object_mask_threshold 0.0 instead of 0.5"),
        (["--unknown-threshold", 0.5], "unknown_threshold 0.0 instead of 0.5"),
        (["--write", "semantic"], 'write ["panoptic"] instead of ["semantic"]'),
        (["--vocab", "boat"], "vocabulary of 3 categories instead of 4"),
        (["--stuff", "cat"], 'vocabulary, category 1 ("cat"): isthing 1 instead of 0'),
        (["--model", "tiny"], "weights {"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_setting_that_differs_is_named(one_done, changed, message, capsys):
    argv, files = one_done
    for extra in ([], ["--dry-run"]):
        assert segment(*argv, *changed, *extra) == 2
        err = capsys.readouterr().err
        assert "preds: made with other settings than asked for now: " in err
        assert message in err
        assert "Add --overwrite to start anew, or give another --out." in err
    assert files_of(argv[-1]) == files


@pytest.fixture(scope="module")
def one_done(flags, tmp_path_factory):
    """The command of a run that is done, and its files."""
    folder = tmp_path_factory.mktemp("one")
    images = write_images(folder / "imgs", ["1.png"])
    argv = [images, *flags[:-3], "--quiet", "--batch-size", 2, "--out", folder / "preds"]
    assert segment(*argv) == 0
    return argv, files_of(folder / "preds")


def test_several_settings_that_differ_are_all_named(one_done, capsys):
    argv, _ = one_done
    assert segment(*argv, "--seed", 1, "--alpha", 0.5, "--stuff", "sky") == 2
    err = capsys.readouterr().err
    assert all(part in err for part in ("seed 42", "alpha 0.3", 'category 3 ("sky"): isthing'))


@pytest.mark.parametrize("same", [["--limit", 1], ["--fail-fast"], ["--max-failures", 3]])
def test_what_does_not_decide_the_results_may_differ(one_done, same):
    argv, files = one_done
    assert segment(*argv, *same) == 0
    assert files_of(argv[-1]) == files


def test_overwriting_starts_anew_with_other_settings(argv, row, tmp_path):
    assert segment(*argv) == 0
    (row / "image5.png").unlink()
    changed = [*argv, "--seed", 7, "--vocab", "boat"]
    assert segment(*changed, "--overwrite") == 0
    assert segment(*changed, "--out", tmp_path / "expected") == 0
    assert files_of(tmp_path / "preds") == files_of(tmp_path / "expected")


def test_two_runs_in_one_folder(images, flags, tmp_path, capsys):
    out = tmp_path / "preds"
    argv = [images, *flags, "--batch-size", 1, "--out", out]
    process = start_segment(*argv)
    wait_for_lines(process, out, 1)
    for extra in ([], ["--overwrite"]):
        assert segment(*argv, *extra) == 75
        message = f"error: {out}: in use by another run (process {process.pid})."
        assert capsys.readouterr().err.startswith(message)
    assert finish(process) == 3
    assert num_lines(out) == len(NAMES)
    assert segment(*argv) == 3


@pytest.fixture(scope="module")
def row_done(flags, tmp_path_factory):
    """The images of a run that is done, and its folder."""
    folder = tmp_path_factory.mktemp("row")
    images = write_images(folder / "imgs", [f"image{number}.png" for number in range(1, 6)])
    assert segment(images, *flags, "--batch-size", 2, "--out", folder / "preds") == 0
    return images, folder / "preds"


@pytest.mark.parametrize(
    "lost",
    [
        ["panoptic/image2.png"],
        ["semantic/image5.png", "overlays/image1.jpg"],
        ["panoptic.json", "instances.json", "segments.jsonl", "semantic/labels.json"],
        [".odise/journal.jsonl"],
        ["manifest.jsonl"],
        [".odise/lock"],
        ["failures.txt"],
    ],
    ids=lambda lost: lost[0],
)
def test_a_file_that_was_deleted_is_made_again(row_done, flags, tmp_path, lost):
    images, done = row_done
    out = shutil.copytree(done, tmp_path / "preds")
    for name in lost:
        (out / name).unlink()
    assert segment(images, *flags, "--batch-size", 2, "--out", out) == 0
    assert files_of(out) == files_of(done)


def test_a_broken_image_that_was_mended_ends_as_if_it_had_been_whole(argv, row, tmp_path):
    argv[-3] = 1  # company that cannot be read is no company: batches would differ in last bits
    whole = (row / "image2.png").read_bytes()
    (row / "image2.png").write_bytes(whole[:-30])
    assert segment(*argv) == 3
    assert segment(*argv) == 3  # tried again
    (row / "image2.png").write_bytes(whole)
    assert segment(*argv) == 0
    assert segment(*argv[:-1], tmp_path / "expected") == 0
    assert files_of(tmp_path / "preds") == files_of(tmp_path / "expected")


def test_an_image_that_broke_later_keeps_its_result(argv, row, tmp_path):
    assert segment(*argv) == 0
    files = files_of(tmp_path / "preds")
    (row / "image2.png").write_bytes(b"")
    assert segment(*argv) == 0
    assert files_of(tmp_path / "preds") == files


def test_new_images_get_new_ids_and_leave_the_others_theirs(argv, row, tmp_path):
    out = tmp_path / "preds"
    assert segment(*argv) == 0
    before = {path.name: path.read_bytes() for path in (out / "panoptic").iterdir()}
    Image.fromarray(picture(77)).save(row / "image0.png")
    Image.fromarray(picture(78)).save(row / "image3b.png")
    assert segment(*argv) == 0
    document = read_json(out / "panoptic.json")
    ids = {image["file_name"]: image["id"] for image in document["images"]}
    assert ids == {
        **{f"image{number}.png": number for number in range(1, 6)},
        "image0.png": 6,
        "image3b.png": 7,
    }
    assert list(ids) == sorted(ids)
    assert {name: (out / "panoptic" / name).read_bytes() for name in before} == before
    assert [line["name"] for line in read_lines(out / "manifest.jsonl")] == list(ids)


def test_images_that_went_away_keep_their_results(argv, row, tmp_path):
    assert segment(*argv) == 0
    (row / "image3.png").unlink()
    assert segment(*argv) == 0
    names = [image["file_name"] for image in read_json(tmp_path / "preds/panoptic.json")["images"]]
    assert names == [f"image{number}.png" for number in (1, 2, 4, 5, 3)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_photographs_and_a_hundred_frames_killed_at_a_random_moment(shared, tmp_path):
    """The acceptance of the whole: the real command, the real images, one SIGKILL."""
    images = tmp_path / "imgs"
    shutil.copytree(shared / "data" / "photos", images / "photos")
    (images / "frames").mkdir()
    frames = sorted((shared / "data" / "camvid" / "images" / "val").glob("*.jpg"))[:100]
    for frame in frames:
        shutil.copy(frame, images / "frames")
    command = [sys.executable, "-m", "odise_cli", "segment", str(images), "--vocab", "ade150"]
    command += ["--model", "tiny", "--write", ALL_OUTPUTS]

    def start(out):
        return subprocess.Popen([*command, "--out", str(tmp_path / out)])

    started = time.monotonic()
    assert start("expected").wait() == 0
    seconds = time.monotonic() - started
    process = start("preds")
    moment = random.SystemRandom().uniform(0.2, 0.9) * seconds
    time.sleep(moment)
    process.kill()
    assert process.wait() == -9
    num_done = num_lines(tmp_path / "preds")
    assert 0 < num_done < 102
    assert start("preds").wait() == 0
    sys.stdout.write(
        f"{seconds:.0f} s at a stretch; killed after {moment:.1f} s, {num_done} done\n"
    )
    assert num_lines(tmp_path / "preds") == 102
    assert files_of(tmp_path / "preds") == files_of(tmp_path / "expected")
