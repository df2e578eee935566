"""`odise segment` and `odise merge` where images and results are in an object store."""

import pytest

from odise_cli.cli.app import main
from tests.runs import ALL_OUTPUTS, read_json, segment
from tests.writers.fakes import files_of

LOCK = ".odise/lock"


@pytest.fixture
def photos(bucket, tree):
    """The images of `tree` and its text file, in a bucket."""
    for path in tree.rglob("*.*"):
        bucket.put_file(str(path), f"/bucket/photos/{path.relative_to(tree).as_posix()}")
    return "memory://bucket/photos"


def fetched(bucket, place, folder):
    bucket.get(f"{place.removeprefix('memory:/')}/", f"{folder}/", recursive=True)
    return {**files_of(folder), LOCK: b""}


def without_root(files, folder):
    """The files but for run.json, whose settings say where the images are."""
    run = read_json(folder / "run.json")
    return {name: data for name, data in files.items() if name != "run.json"}, {
        **run["settings"],
        "root": None,
    }


def test_the_files_are_those_of_local_images_and_a_local_folder(
    photos, bucket, preds, flags, tmp_path
):
    argv = [photos, *flags, "--write", ALL_OUTPUTS, "--batch-size", 2]
    assert segment(*argv, "--out", "memory://bucket/preds") == 0
    got = fetched(bucket, "memory://bucket/preds", tmp_path / "got")
    expected = {**files_of(preds), LOCK: b""}
    assert without_root(got, tmp_path / "got") == without_root(expected, preds)
    assert read_json(tmp_path / "got" / "run.json")["settings"]["root"] == photos


def test_images_from_a_store_into_a_local_folder_and_back(photos, bucket, flags, tmp_path, tree):
    assert segment(photos, *flags, "--out", f"file://{tmp_path}/local") == 0
    assert segment(tree, *flags, "--out", "memory://bucket/preds") == 0
    got = fetched(bucket, "memory://bucket/preds", tmp_path / "got")
    local = {**files_of(tmp_path / "local"), LOCK: b""}
    assert without_root(got, tmp_path / "got")[0] == without_root(local, tmp_path / "local")[0]


def test_a_stopped_run_goes_on_and_shards_are_merged(photos, bucket, flags, tmp_path):
    whole, shards = "memory://bucket/whole", [f"memory://bucket/shards/{i}" for i in (1, 2)]
    assert segment(photos, *flags, "--limit", 2, "--out", whole) == 0
    assert segment(photos, *flags, "--out", whole, "--dry-run") == 0
    assert segment(photos, *flags, "--out", whole) == 0
    for index, shard in enumerate(shards, start=1):
        assert segment(photos, *flags, "--shard", f"{index}/2", "--out", shard) == 0
    assert main(["merge", *shards, "--out", "memory://bucket/merged", "--quiet"]) == 0
    assert fetched(bucket, "memory://bucket/merged", tmp_path / "m") == fetched(
        bucket, whole, tmp_path / "w"
    )


def test_a_broken_object_is_a_row_and_is_listed_by_its_url(photos, bucket, flags, capsys):
    bucket.pipe_file("/bucket/photos/b/2.png", b"no image")
    out = "memory://bucket/preds"
    assert segment(photos, *flags, "--out", out) == 3
    assert "memory://bucket/photos/b/2.png: is no image" in capsys.readouterr().err
    assert bucket.cat("/bucket/preds/failures.txt") == b"memory://bucket/photos/b/2.png\n"


def test_out_in_a_settings_file_may_be_a_url(photos, bucket, flags, tmp_path):
    (tmp_path / "odise.toml").write_text('out = "memory://bucket/preds"\n')
    assert segment(photos, *flags, "--limit", 1, "--config", tmp_path / "odise.toml") == 0
    assert bucket.exists("/bucket/preds/panoptic.json")
