"""Bad images and sources, from the command line to the files: a row each, nothing lost."""

import os
import re
import resource
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.runs import picture, read_json, read_lines, segment, write_images
from tests.writers.fakes import files_of

UNUSUAL = {
    "animated.gif": [48, 64],
    "cmyk.jpg": [48, 64],
    "copy/of_top.png": [48, 64],
    "grey16.png": [48, 64],
    "misnamed.jpg": [48, 64],
    "one_pixel.png": [1, 1],
    "rgba.png": [48, 64],
    "rotated.jpg": [64, 48],
    "top.png": [48, 64],
    "wide.png": [2, 300],
}
"""Images that are unusual and all the same images: (height, width) as a viewer shows them."""
BROKEN = {
    "bomb.png": "is a decompression bomb, or simply too large",
    "dangling.png": "cannot be opened (No such file or directory)",
    "empty.jpg": "is empty (0 bytes)",
    "pipe.png": "is not a regular file",
    "text.png": "is no image, or of a kind that Pillow does not read",
    "truncated.jpg": "is broken (",
    "truncated.png": "is broken (",
}


def write_unusual(folder):
    """The images of `UNUSUAL`."""
    (folder / "copy").mkdir(parents=True)
    upright = [Image.fromarray(picture(number)) for number in range(8)]
    upright[0].save(folder / "animated.gif", save_all=True, append_images=upright[1:3])
    upright[1].convert("CMYK").save(folder / "cmyk.jpg")
    upright[2].save(folder / "top.png")
    shutil.copy(folder / "top.png", folder / "copy" / "of_top.png")
    deep = picture(3)[..., 0].astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "grey16.png")
    upright[4].save(folder / "misnamed.jpg", "PNG")
    upright[5].crop((0, 0, 1, 1)).save(folder / "one_pixel.png")
    upright[6].putalpha(128)
    upright[6].save(folder / "rgba.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90°
    upright[7].save(folder / "rotated.jpg", exif=exif)
    Image.fromarray(picture(8, (2, 300))).save(folder / "wide.png")


def write_broken(folder):
    """The files of `BROKEN`."""
    # A PNG's first chunk: length, type, width, height, five bytes more, and a checksum.
    bomb = bytearray((folder / "top.png").read_bytes())
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    (folder / "bomb.png").write_bytes(bomb)
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "empty.jpg").touch()
    os.mkfifo(folder / "pipe.png")
    (folder / "text.png").write_text("This is no picture.")
    for name, whole in (("truncated.jpg", "cmyk.jpg"), ("truncated.png", "top.png")):
        content = (folder / whole).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])


def stems_of(folder):
    return {path.stem for path in folder.glob("*.png")}


def test_unusual_images_are_done_and_broken_ones_are_rows(argv, tmp_path, capsys):
    images, out = tmp_path / "imgs", tmp_path / "preds"
    write_unusual(images)
    write_broken(images)
    assert segment(images, *argv) == 3
    lines = {line["name"]: line for line in read_lines(out / "manifest.jsonl")}
    done = {name: line["size"] for name, line in lines.items() if line["status"] == "done"}
    errors = {name: line["error"] for name, line in lines.items() if line["status"] == "failed"}
    assert done == UNUSUAL
    assert errors.keys() == BROKEN.keys()
    for name, reason in BROKEN.items():
        assert errors[name].startswith(f"{images / name}: {reason}")
    assert (out / "failures.txt").read_text().splitlines() == [
        str(images / name) for name in sorted(BROKEN)
    ]
    for name, (height, width) in UNUSUAL.items():
        stem = str(Path(name).with_suffix(""))
        with Image.open(out / "panoptic" / f"{stem}.png") as image:
            assert image.size == (width, height)
    document = read_json(out / "panoptic.json")
    assert len(document["images"]) == len(document["annotations"]) == len(UNUSUAL)
    out, err = capsys.readouterr()
    assert err.startswith("warning: 7 of 17 images without a result, listed in ")
    assert f"bomb.png: {images}/bomb.png: is a decompression bomb" in err
    assert err.splitlines()[-1] == "  and 2 more"

    # Mended, the list of failures is fed back; the folder ends as if nothing had been broken.
    for name in BROKEN:
        (images / name).unlink()
        Image.fromarray(picture(len(name))).save(images / name)
    assert segment("--from-file", tmp_path / "preds" / "failures.txt", *argv) == 0
    assert (tmp_path / "preds" / "failures.txt").read_bytes() == b""
    assert segment(images, *argv) == 0
    assert len(read_lines(tmp_path / "preds" / "manifest.jsonl")) == 17


def test_failures_of_a_subfolder_can_be_fed_back(argv, images, tmp_path):
    (images / "deep" / "er").mkdir(parents=True)
    (images / "deep" / "er" / "4.png").write_bytes(b"")
    argv[-3] = 1  # a batch of its own, so that the order of doing does not matter
    assert segment(images, *argv) == 3
    Image.fromarray(picture(4)).save(images / "deep" / "er" / "4.png")
    failures = tmp_path / "preds" / "failures.txt"
    again = ["--from-file", failures, *argv]
    assert segment(*again, "--dry-run") == 0
    assert segment(*again) == 0
    document = read_json(tmp_path / "preds" / "panoptic.json")
    assert {image["file_name"]: image["id"] for image in document["images"]} == {
        "1.png": 1, "2.png": 2, "3.png": 3, "deep/er/4.png": 4
    }  # fmt: skip
    assert segment(images, *argv) == 0
    mended = files_of(tmp_path / "preds")
    assert segment(images, *argv[:-1], tmp_path / "expected") == 0
    expected = files_of(tmp_path / "expected")
    journal = ".odise/journal.jsonl"
    assert sorted(mended.pop(journal).splitlines()) == sorted(expected.pop(journal).splitlines())
    assert mended == expected


def test_a_part_of_the_sources_that_was_no_part_of_the_run_is_refused(argv, images, capsys):
    assert segment(images, *argv) == 0
    write_images(images / "new", ["4.png"])
    assert segment(images / "new", *argv) == 2
    # Long paths are cut in their middle.
    assert re.search(r'root "/\S+/imgs" instead of "/\S+/imgs/new"', capsys.readouterr().err)


def test_a_broken_image_costs_its_batch_nothing(argv, images, tmp_path):
    (images / "2.png").write_bytes(b"")
    assert segment(images, *argv) == 3
    assert stems_of(tmp_path / "preds" / "panoptic") == {"1", "3"}


def test_an_image_that_may_not_be_read(argv, open_folder, as_nobody):
    images, out = write_images(open_folder / "imgs", ["1.png", "2.png"]), open_folder / "preds"
    argv[3] = "tiny"
    assert segment(images, *argv[:-1], open_folder / "first") == 0  # imports what it needs
    (images / "2.png").chmod(0)
    as_nobody()
    assert segment(images, *argv[:-1], out) == 3
    first, second = read_lines(out / "manifest.jsonl")
    assert first["status"] == "done"
    assert second["error"].startswith(f"{images}/2.png: cannot be opened (Permission denied).")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as the test reads it
def test_an_image_of_108_megapixels(argv, tmp_path):
    (tmp_path / "imgs").mkdir()
    large = Image.fromarray(picture(0, (90, 120))).resize((12_000, 9_000))
    large.save(tmp_path / "imgs" / "large.jpg")
    assert segment(tmp_path / "imgs", *argv) == 0
    with Image.open(tmp_path / "preds" / "panoptic" / "large.png") as image:
        assert image.size == (12_000, 9_000)
    # The image is 0.3 GiB; masks at its size would be 40 GiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 < 5


def test_an_image_named_twice_is_done_once(argv, images, tmp_path):
    (images / "again").symlink_to(".")
    sources = [images, images / "2.png", images / "again" / "2.png", f"{images}/*.png"]
    assert segment(*sources, *argv) == 0
    assert stems_of(tmp_path / "preds" / "panoptic") == {"1", "2", "3"}


def test_a_named_file_that_is_no_image_is_a_row(argv, tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert segment(tmp_path / "notes.txt", tmp_path / "gone.png", *argv) == 3
    lines = read_lines(tmp_path / "preds" / "manifest.jsonl")
    assert [(line["name"], line["status"]) for line in lines] == [
        ("gone.png", "failed"),
        ("notes.txt", "failed"),
    ]
    assert read_json(tmp_path / "preds" / "panoptic.json")["images"] == []


@pytest.mark.parametrize("flag", [["--fail-fast"], ["--max-failures", 0]])
def test_a_run_may_end_at_a_failure_and_go_on_later(argv, images, tmp_path, flag, capsys):
    (images / "2.png").write_bytes(b"")
    assert segment(images, *argv, *flag) == 3
    err = capsys.readouterr().err
    assert err.startswith(f"error: {images}/2.png: is empty (0 bytes).")
    assert flag[0] in err
    shutil.copy(images / "1.png", images / "2.png")
    assert segment(images, *argv, *flag) == 0
    assert stems_of(tmp_path / "preds" / "panoptic") == {"1", "2", "3"}


# --- sources


def test_a_folder_without_images(argv, tmp_path, capsys):
    (tmp_path / "imgs").mkdir()
    (tmp_path / "imgs" / "notes.txt").write_text("no image")
    for source in (tmp_path / "imgs", f"{tmp_path}/imgs/*.png", tmp_path / "mistyped"):
        assert segment(source, *argv) == 4
        message = f"error: SOURCES: no image was found in '{source}'"
        assert capsys.readouterr().err.startswith(message)
    assert not (tmp_path / "preds").exists()


def test_a_list_that_is_not_there(argv, tmp_path, capsys):
    assert segment("--from-file", tmp_path / "none.txt", *argv) == 2
    assert "none.txt cannot be read (No such file or directory)" in capsys.readouterr().err


def test_a_list_from_a_closed_standard_input(argv, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)  # what Python makes of `<&-`
    assert segment("--from-file", "-", *argv) == 2
    assert "error: --from-file: standard input is closed." in capsys.readouterr().err
