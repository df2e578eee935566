import json
import os
from pathlib import Path

from odise_cli.structures import FailedImage, ImageRecord
from odise_cli.writers.manifest import load_rows
from tests.writers.fakes import ALL_OUTPUTS, CATEGORIES, open_run, record, result, write_run


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def failed(path):
    name = Path(path).name
    image = ImageRecord(path=Path(path), name=name, stem=Path(name).stem, image_id=hash(name))
    return FailedImage(record=image, error="is truncated")


def image_names(folder):
    return [i["file_name"] for i in json.loads((folder / "panoptic.json").read_text())["images"]]


def test_only_what_was_asked_for_is_there(tmp_path):
    write_run(tmp_path, range(2), outputs=("instances",))
    assert names_in(tmp_path) == [
        ".odise",
        "failures.txt",
        "instances.json",
        "manifest.jsonl",
        "run.json",
    ]


def test_every_part_is_in_the_order_of_the_records(tmp_path):
    order = [2, 0, 3, 1]
    with open_run(tmp_path) as folder:
        for number in (3, 1, 0, 2):
            folder.write(result(number))
        folder.finish([record(number) for number in order], {})
    names = [record(number).name for number in order]
    ids = [record(number).image_id for number in order]
    panoptic = json.loads((tmp_path / "panoptic.json").read_text())
    assert [image["file_name"] for image in panoptic["images"]] == names
    assert [annotation["image_id"] for annotation in panoptic["annotations"]] == ids
    assert [category["id"] for category in panoptic["categories"]] == [c.id for c in CATEGORIES]
    instances = json.loads((tmp_path / "instances.json").read_text())
    assert list(dict.fromkeys(entry["image_id"] for entry in instances)) == ids
    lines = (tmp_path / "segments.jsonl").read_text().splitlines()
    assert list(dict.fromkeys(json.loads(line)["image"] for line in lines)) == names
    for file in ("manifest.jsonl", ".odise/journal.jsonl"):
        lines = (tmp_path / file).read_text().splitlines()
        assert [json.loads(line)["name"] for line in lines] == names


def test_the_offsets_of_ordered_files_are_found_again(tmp_path):
    write_run(tmp_path, range(5), threads=3)
    rows, unfinished = load_rows(tmp_path, ALL_OUTPUTS)
    assert [row.status for row in rows.values()] == ["done"] * 5
    assert unfinished == set()


def test_images_that_are_no_longer_among_the_sources_come_last(tmp_path):
    write_run(tmp_path, (5, 4))
    write_run(tmp_path, (1, 4, 0))
    assert image_names(tmp_path) == [record(number).name for number in (1, 4, 0, 5)]


def test_a_failed_image_is_in_no_file_of_results(tmp_path):
    write_run(tmp_path, range(3), failing=(1,))
    assert image_names(tmp_path) == [record(0).name, record(2).name]
    assert (tmp_path / "failures.txt").read_text() == "/photos/b/image1.jpg\n"


def test_an_image_that_succeeds_later_is_no_failure(tmp_path):
    write_run(tmp_path, range(3), failing=(1,))
    write_run(tmp_path, range(3))
    assert (tmp_path / "failures.txt").read_text() == ""
    assert image_names(tmp_path) == [record(number).name for number in range(3)]


def test_failures_are_the_bytes_of_their_paths(tmp_path):
    names = [b"/photos/\xff.jpg", "/photos/é.jpg".encode(), b"/photos/with space.jpg"]
    with open_run(tmp_path) as folder:
        for name in names:
            folder.write_failure(failed(os.fsdecode(name)))
        folder.finish([], {})
    assert (tmp_path / "failures.txt").read_bytes().splitlines() == names


def test_relative_failures_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_run(tmp_path / "preds") as folder:
        folder.write_failure(failed("photos/a.jpg"))
        folder.finish([], {})
    listed = (tmp_path / "preds" / "failures.txt").read_text()
    assert listed == f"{tmp_path}/photos/a.jpg\n"


def test_a_newline_in_a_path_is_noted_and_not_listed(tmp_path):
    with open_run(tmp_path) as folder:
        folder.write_failure(failed("/photos/a\nb.jpg"))
        folder.write_failure(failed("/photos/c.jpg"))
        folder.finish([], {"seconds": 1})
    assert (tmp_path / "failures.txt").read_text() == "/photos/c.jpg\n"
    totals = json.loads((tmp_path / "run.json").read_text())["totals"]
    assert totals == {"seconds": 1, "failures_not_listed": ["a\nb.jpg"]}


def test_a_run_without_results_is_valid(tmp_path):
    write_run(tmp_path, [])
    panoptic = json.loads((tmp_path / "panoptic.json").read_text())
    assert (panoptic["images"], panoptic["annotations"]) == ([], [])
    assert json.loads((tmp_path / "instances.json").read_text()) == []
    assert (tmp_path / "segments.jsonl").read_bytes() == b""
