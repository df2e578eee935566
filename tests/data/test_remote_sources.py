import re
from pathlib import Path

import pytest

from odise_cli.data.decode import decode_image
from odise_cli.data.records import make_records
from odise_cli.data.sources import find_images
from odise_cli.errors import ImageError, NoImagesError, UsageError
from odise_cli.storage import Url
from odise_cli.structures import ImageRecord

OBJECTS = (
    "a/2.jpg",
    "a/10.JPG",
    "a/notes.txt",
    "a/.hidden.png",
    "b/deep/x.png",
    "top.png",
    "preds/.odise/lock",
    "preds/run.json",
    "preds/panoptic/y.png",
    "preds/mine.png",
)


@pytest.fixture
def photos(bucket):
    for name in OBJECTS:
        bucket.pipe_file(f"/bucket/{name}", b"x")
    return Url("memory://bucket")


def names(found):
    return [record.name for record in make_records(found.paths, found.root)]


def test_a_folder_is_read_recursively_in_natural_order(photos):
    found = find_images([photos / "a", photos / "b"])
    assert (found.root, found.num_skipped_files) == (photos, 1)
    assert names(found) == ["a/2.jpg", "a/10.JPG", "b/deep/x.png"]
    assert found.paths[0] == Url("memory://bucket/a/2.jpg")


def test_pictures_of_runs_are_no_sources(photos, bucket):
    bucket.pipe_file("/bucket/panoptic/own.png", b"x")
    found = find_images([photos], excluded=[photos / "panoptic"])
    # run.json, notes.txt and nothing of .odise are skipped.
    assert names(found) == ["a/2.jpg", "a/10.JPG", "b/deep/x.png", "preds/mine.png", "top.png"]
    assert found.num_skipped_files == 2


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/*", ["2.jpg", "10.JPG"]),
        ("*/*.jpg", ["a/2.jpg"]),
        ("**/x.png", ["b/deep/x.png"]),
        ("b/*", ["deep/x.png"]),
    ],
)
def test_patterns(photos, pattern, expected):
    assert names(find_images([photos / pattern])) == expected


def test_an_object_that_is_named_is_an_image_whatever_its_ending(photos):
    found = find_images([photos / "a/notes.txt", photos / "a/missing.jpg"])
    assert names(found) == ["missing.jpg", "notes.txt"]


def test_a_list_of_urls(photos, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"{photos}/a/2.jpg\n{photos}/b\n")
    assert names(find_images([], from_file=str(listed))) == ["a/2.jpg", "b/deep/x.png"]


def test_a_file_url_is_a_path(tmp_path):
    (tmp_path / "1.png").write_bytes(b"x")
    found = find_images([f"file://{tmp_path}"])
    assert (found.root, found.paths) == (tmp_path, (tmp_path / "1.png",))


def test_nothing_found(photos):
    with pytest.raises(NoImagesError, match=r"found in memory://bucket/z; 0 other files were"):
        find_images([photos / "z"])


def test_paths_and_urls_are_not_mixed(photos):
    with pytest.raises(UsageError, match=r"SOURCES: imgs is a path, memory://bucket/a is a URL"):
        find_images([photos / "a", "imgs"])


def test_urls_without_a_folder_in_common(photos, bucket):
    bucket.pipe_file("/other/1.png", b"x")
    message = re.escape("memory://bucket/a, memory://other have no folder in common")
    with pytest.raises(UsageError, match=message):
        find_images([photos / "a", "memory://other"])


def record(url):
    return ImageRecord(path=url, name="x.png", stem="x", image_id=1)


def test_an_object_is_decoded_as_the_file(bucket, tmp_path):
    from tests.runs import write_images

    folder = write_images(tmp_path, ["x.png"])
    bucket.put_file(str(folder / "x.png"), "/bucket/x.png")
    local, remote = (
        decode_image(record(place), short_side=64, long_side=128)
        for place in (Path(folder / "x.png"), Url("memory://bucket/x.png"))
    )
    assert (local.resized_HW3 == remote.resized_HW3).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"memory://bucket/x\.png: cannot be fetched \(FileNotFoundError"),
        (b"", r"memory://bucket/x\.png: is empty"),
        (b"text", r"memory://bucket/x\.png: is no image"),
    ],
)
def test_an_object_that_is_no_image_fails_alone(bucket, data, message):
    if data is not None:
        bucket.pipe_file("/bucket/x.png", data)
    with pytest.raises(ImageError, match=message):
        decode_image(record(Url("memory://bucket/x.png")), short_side=64, long_side=128)
