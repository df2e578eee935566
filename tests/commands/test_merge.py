import json
import os
import random

import pytest

from odise_cli.commands.merge import merge_runs
from odise_cli.data.sources import find_images
from odise_cli.errors import SettingsChangedError, TryAgainError, UsageError
from odise_cli.structures import FailedImage, ImageRecord
from odise_cli.writers.atomic import write_atomic
from tests.writers.fakes import (
    CATEGORIES,
    files_of,
    open_run,
    record,
    result,
    result_of,
    write_run,
)

# The fakes' names sort like this: a/image0, a/image2, …, b/image1, b/image3, …
SORTED = [0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]


@pytest.fixture
def shards(tmp_path):
    """A run over twelve images in three shards, one image of which fails."""
    folders = []
    for index in range(3):
        folders.append(tmp_path / f"shard{index}")
        write_run(folders[-1], SORTED[index * 4 : index * 4 + 4], failing=(10,))
    return folders


@pytest.fixture
def expected(tmp_path):
    """The files of one run over everything."""
    write_run(tmp_path / "expected", SORTED, failing=(10,))
    return files_of(tmp_path / "expected")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_merged_shards_are_what_one_run_would_have_written(tmp_path, shards, expected, order):
    report = merge_runs([shards[index] for index in order], tmp_path / "merged")
    assert files_of(tmp_path / "merged") == expected
    assert (report.num_folders, report.num_done, report.num_failed) == (3, 11, 1)
    assert report.exit_code == 3
    assert report.to_json()["out"] == str(tmp_path / "merged")


def test_every_image_keeps_its_manifest_line_with_its_times(tmp_path, shards):
    merge_runs(shards, tmp_path / "merged")
    lines = b"".join((shard / "manifest.jsonl").read_bytes() for shard in shards)
    assert (tmp_path / "merged" / "manifest.jsonl").read_bytes() == lines


def test_files_are_linked(tmp_path, shards):
    merge_runs(shards, tmp_path / "merged")
    name = f"panoptic/{record(0).stem}.png"
    assert (tmp_path / "merged" / name).samefile(shards[0] / name)


def test_totals_name_the_shards(tmp_path, shards):
    merge_runs(shards, tmp_path / "merged")
    totals = json.loads((tmp_path / "merged" / "run.json").read_text())["totals"]
    assert totals["num_done"] == 11
    assert totals["merged"] == [
        {"folder": str(shard), "totals": {"seconds": 1.5}} for shard in shards
    ]


def write_listed(out, numbers, *, count, sha256="full"):
    """A run over a part of a list of `count` images."""
    with open_run(out, info={"images": {"count": count, "sha256": sha256}}) as folder:
        for number in numbers:
            folder.write(result(number))
        folder.finish([record(number) for number in numbers], {})
    return out


def test_images_that_no_folder_holds_are_counted(tmp_path):
    shards = [write_listed(tmp_path / f"{first}", [first, first + 2], count=6) for first in (0, 4)]
    report = merge_runs(shards, tmp_path / "merged")
    assert (report.num_done, report.num_missing, report.exit_code) == (4, 2, 3)
    # The merged folder knows the list as well, and what it holds already is not missing.
    last = write_listed(tmp_path / "last", [1, 3], count=6)
    assert merge_runs([last], tmp_path / "merged").exit_code == 0
    whole = merge_runs([tmp_path / "merged"], tmp_path / "again")
    assert (whole.num_done, whole.num_missing) == (6, 0)


def test_nobody_knows_what_is_missing_where_the_lists_differ(tmp_path, shards):
    listed = [
        write_listed(tmp_path / "first", [0], count=2),
        write_listed(tmp_path / "second", [2], count=2, sha256="another"),
    ]
    assert merge_runs(listed, tmp_path / "merged").num_missing is None
    assert merge_runs(shards, tmp_path / "old").num_missing is None


def test_the_same_merge_again_changes_nothing(tmp_path, shards, expected):
    merge_runs(shards, tmp_path / "merged")
    place = tmp_path / "merged" / "panoptic" / f"{record(0).stem}.png"
    changed_at = place.stat().st_ctime_ns
    merge_runs(shards, tmp_path / "merged")
    assert files_of(tmp_path / "merged") == expected
    assert place.stat().st_ctime_ns == changed_at


def test_shards_can_be_merged_one_after_the_other(tmp_path, shards, expected):
    for shard in (shards[1], shards[2], shards[0]):
        merge_runs([shard], tmp_path / "merged")
    assert files_of(tmp_path / "merged") == expected


def test_a_merge_that_was_cut_short_goes_on(tmp_path, shards, expected):
    merge_runs(shards, tmp_path / "merged")
    for name in ("manifest.jsonl", ".odise/journal.jsonl"):
        path = tmp_path / "merged" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (tmp_path / "merged" / "panoptic.json").unlink()
    merge_runs(shards, tmp_path / "merged")
    assert files_of(tmp_path / "merged") == expected


def test_a_merged_folder_can_be_taken_up_by_a_run(tmp_path, shards, expected):
    merge_runs(shards, tmp_path / "merged")
    write_run(tmp_path / "merged", SORTED)
    write_run(tmp_path / "complete", SORTED)
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "complete")


def test_overwriting_drops_an_earlier_merge(tmp_path, shards):
    merge_runs(shards, tmp_path / "merged")
    merge_runs(shards[:1], tmp_path / "merged", overwrite=True)
    write_run(tmp_path / "expected", SORTED[:4])
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "expected")


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_result_beats_a_failure(tmp_path, is_reversed):
    write_run(tmp_path / "failed", [0, 2], failing=(2,))
    write_run(tmp_path / "done", [2, 4])
    folders = [tmp_path / "failed", tmp_path / "done"]
    merge_runs(folders[::-1] if is_reversed else folders, tmp_path / "merged")
    write_run(tmp_path / "expected", [0, 2, 4])
    assert files_of(tmp_path / "merged") == files_of(tmp_path / "expected")


def test_of_two_results_the_later_folder_wins(tmp_path):
    for number, side in enumerate((10, 20)):
        with open_run(tmp_path / f"shard{number}") as folder:
            panoptic_HW = result(0, size=(side, side)).segmentation.panoptic_HW
            folder.write(result_of(record(0), panoptic_HW))
            folder.finish([record(0)], {})
    for first, later in ((0, 1), (1, 0)):
        out = tmp_path / f"merged{first}"
        merge_runs([tmp_path / f"shard{first}", tmp_path / f"shard{later}"], out)
        image = json.loads((out / "panoptic.json").read_text())["images"][0]
        assert image["width"] == (10, 20)[later]


def test_the_order_is_that_of_a_search(tmp_path):
    names = ["b/2.jpg", "b/10.jpg", "b-c/1.jpg", "b 1/1.jpg", "a10/1.jpg", "a9/01.jpg", "a9/1.jpg"]
    names += ["a9/1-1.jpg", "B/1.jpg", "img007.jpg", "img7.jpg", "img70.jpg", "é.jpg"]
    for name in names:
        write_atomic(tmp_path / "photos" / name, b"")
    paths = find_images([str(tmp_path / "photos")]).paths
    searched = [path.relative_to(tmp_path / "photos").as_posix() for path in paths]
    random.Random(0).shuffle(names)
    shards = []
    for index, name in enumerate(names):
        shards.append(tmp_path / f"shard{index}")
        image = ImageRecord(path=tmp_path / name, name=name, stem=name[:-4], image_id=index)
        with open_run(shards[-1], outputs=("instances",)) as folder:
            folder.write_failure(FailedImage(record=image, error="is empty"))
            folder.finish([image], {})
    merge_runs(shards, tmp_path / "merged")
    rows = (tmp_path / "merged" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(row)["name"] for row in rows] == searched


def test_other_settings_are_refused_by_name(tmp_path, shards):
    with open_run(tmp_path / "other", settings={"model": "label", "seed": 1}) as folder:
        folder.finish([], {})
    message = (
        r"other: made with other settings than .*shard0: "
        r'model "label" instead of "tiny"; overlap_threshold \(not set\) instead of 0\.8; '
        r"seed 1 instead of \(not set\)\."
    )
    with pytest.raises(SettingsChangedError, match=message):
        merge_runs([*shards, tmp_path / "other"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_another_vocabulary_is_refused(tmp_path, shards):
    with open_run(tmp_path / "other", categories=CATEGORIES[:2]) as folder:
        folder.finish([], {})
    with pytest.raises(SettingsChangedError, match="vocabulary of 2 categories instead of 3"):
        merge_runs([shards[0], tmp_path / "other"], tmp_path / "merged")


def test_a_folder_of_another_merge_is_refused(tmp_path, shards):
    write_run(tmp_path / "merged", [0], outputs=("panoptic",))
    with pytest.raises(SettingsChangedError, match=r"merged: .* write \[\"panoptic\"\] instead of"):
        merge_runs(shards, tmp_path / "merged")


def test_two_images_of_one_id_are_refused_by_name(tmp_path):
    for number, name in enumerate(("a.jpg", "b.jpg")):
        with open_run(tmp_path / f"shard{number}") as folder:
            image = record(0, name=name)
            folder.write(result_of(image, result(0).segmentation.panoptic_HW))
            folder.finish([image], {})
    with pytest.raises(UsageError, match=r"b\.jpg: has the image_id 1, and so has a\.jpg\."):
        merge_runs([tmp_path / "shard0", tmp_path / "shard1"], tmp_path / "merged")


def test_two_images_of_one_output_name_are_refused(tmp_path):
    for number, name in enumerate(("a.jpg", "a.png")):
        image = ImageRecord(path=tmp_path / name, name=name, stem="a", image_id=number)
        with open_run(tmp_path / f"shard{number}") as folder:
            folder.write(result_of(image, result(0).segmentation.panoptic_HW))
            folder.finish([image], {})
    with pytest.raises(UsageError, match=r"a\.png: has the output name a, and so has a\.jpg\."):
        merge_runs([tmp_path / "shard0", tmp_path / "shard1"], tmp_path / "merged")


def test_a_shard_that_has_not_finished_is_refused(tmp_path, shards):
    with open_run(shards[1]):
        pass
    with pytest.raises(UsageError, match=r"shard1: its run has not finished"):
        merge_runs(shards, tmp_path / "merged")


def test_a_shard_that_is_running_is_worth_another_try(tmp_path, shards):
    message = rf"shard1: in use by another run \(process {os.getpid()}\)"
    with open_run(shards[1]), pytest.raises(TryAgainError, match=message) as info:
        merge_runs(shards, tmp_path / "merged")
    assert info.value.exit_code == 75


def test_a_folder_cannot_be_merged_into_itself(tmp_path, shards):
    with pytest.raises(UsageError, match=r"--out: .*shard1 is also a folder to merge"):
        merge_runs(shards, tmp_path / "shard0" / ".." / "shard1")


def test_nothing_to_merge_is_an_error_of_use(tmp_path):
    with pytest.raises(UsageError, match="DIR: no folder to merge was given"):
        merge_runs([], tmp_path / "merged")


def test_a_manifest_that_points_out_of_its_folder_writes_nothing(tmp_path, shards):
    for name in ("manifest.jsonl", ".odise/journal.jsonl"):
        path = shards[0] / name
        path.write_text(path.read_text().replace('"stem": "a/image0"', '"stem": "../../evil"'))
    with pytest.raises(UsageError, match=r"shard0: the stem '\.\./\.\./evil' leads out"):
        merge_runs(shards, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
