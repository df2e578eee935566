from pathlib import Path

import pytest

from odise_cli.errors import UsageError
from odise_cli.writers.layout import collected_files, image_file, image_files, top_level_names

OUT = Path("preds")


def test_the_input_tree_is_mirrored():
    assert image_file(OUT, "panoptic", "a/b") == OUT / "panoptic" / "a" / "b.png"
    assert image_file(OUT, "semantic", "a/b") == OUT / "semantic" / "a" / "b.png"
    assert image_file(OUT, "overlay", "a/b") == OUT / "overlays" / "a" / "b.jpg"


def test_dots_in_a_stem_are_kept():
    assert image_file(OUT, "panoptic", "a.b/c.d") == OUT / "panoptic" / "a.b" / "c.d.png"


def test_outputs_without_a_file_for_each_image_have_none():
    assert list(image_files(OUT, ["instances", "segments"], "a")) == []


def test_the_files_of_a_run():
    assert list(collected_files(OUT, ["panoptic", "overlay", "semantic"])) == [
        OUT / "panoptic.json",
        OUT / "semantic" / "labels.json",
        OUT / "failures.txt",
    ]


def test_the_names_that_a_run_claims():
    names = top_level_names(["panoptic", "instances", "semantic", "overlay", "segments"])
    assert sorted(names) == [
        "failures.txt",
        "instances.json",
        "manifest.jsonl",
        "overlays",
        "panoptic",
        "panoptic.json",
        "segments.jsonl",
        "semantic",
    ]
    assert sorted(top_level_names(["instances"])) == [
        "failures.txt",
        "instances.json",
        "manifest.jsonl",
    ]


@pytest.mark.parametrize("stem", ["../x", "a/../../x", "/etc/x", "..", "", ".", "a\0b"])
def test_a_stem_that_leads_out_of_the_folder_is_refused(stem):
    with pytest.raises(UsageError, match=r"preds: the stem '.*' leads out of the folder"):
        image_file(OUT, "panoptic", stem)
