import json

import numpy as np
import pytest
from PIL import Image

from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import categories_of, write_panoptic

CATEGORIES = categories_of("coco133")


@pytest.fixture
def pair(tmp_path):
    """The files of a pair of four images."""
    annotations, masks = tmp_path / "x.json", tmp_path / "x"
    return annotations, masks, write_panoptic(annotations, masks, 4, CATEGORIES)


def changed(annotations, change):
    document = json.loads(annotations.read_text())
    change(document)
    annotations.write_text(json.dumps(document))


def open_changed(pair, change):
    annotations, masks, _ = pair
    changed(annotations, change)
    return open_coco_panoptic(annotations, masks, CATEGORIES)


def test_a_drawn_scene_comes_back_pixel_for_pixel(pair):
    annotations, masks, scenes = pair
    dataset = open_coco_panoptic(annotations, masks, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, (id_map, info) in scenes.items():
        labels = dataset.read(name)
        np.testing.assert_array_equal(labels.panoptic.to_map(), id_map)
        found = {r.id: (CATEGORIES[r.category].id, int(r.iscrowd)) for r in labels.regions}
        assert found == info
        for id_ in np.unique(id_map).tolist():
            inside = set(labels.semantic.to_map()[id_map == id_].tolist())
            assert [CATEGORIES[k].id if k < 65_535 else 0 for k in inside] == [
                info.get(id_, (0, 0))[0]
            ]


def test_real_images(shared):
    folder = shared / "data" / "coco_panoptic_sample"
    document = json.loads((folder / "panoptic_examples.json").read_text())
    categories = categories_of(str(folder / "panoptic_examples.json"))
    dataset = open_coco_panoptic(
        folder / "panoptic_examples.json", folder / "panoptic_examples", categories
    )
    for entry in document["annotations"]:
        labels = dataset.read(entry["file_name"].replace(".png", ".jpg"))
        for region, info in zip(labels.regions, entry["segments_info"], strict=True):
            # The area that the owners count.
            assert int((labels.panoptic.to_map() == region.id).sum()) == info["area"]
            assert categories[region.category].id == info["category_id"]


def test_files_that_are_missing_are_counted(pair):
    annotations, masks, _ = pair
    (masks / "000000000002.png").unlink()
    dataset = open_coco_panoptic(annotations, masks, CATEGORIES)
    count = dataset.counts[1]
    assert (count.found, count.published, count.missing) == (3, 4, ("000000000002.png",))
    assert not count.is_complete
    with pytest.raises(MissingDataError, match=r"x/000000000002\.png: is not there"):
        dataset.read("000000000002.jpg")


def test_an_id_that_the_json_lacks_is_named(pair):
    def change(document):
        infos = document["annotations"][0]["segments_info"]
        infos[:] = [info for info in infos if info["id"] != 256]

    with pytest.raises(UsageError, match=r"001\.png: has pixels of the segment id 256, which .*x"):
        open_changed(pair, change).read("000000000001.jpg")


def test_an_id_that_the_png_lacks_is_named(pair):
    def change(document):
        document["annotations"][0]["segments_info"].append({"id": 9, "category_id": 1})

    with pytest.raises(UsageError, match=r"x\.json: lists the segment id 9 of .*001\.png, which"):
        open_changed(pair, change).read("000000000001.jpg")


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"id": 5, "category_id": 1}, r"the segment id 5 of 000000000001\.png is listed twice"),
        ({"id": 0, "category_id": 1}, r"the segment id 0 of 000000000001\.png is void"),
        ({"id": 9}, r"a segment of 000000000001\.png has no id or no category_id: {'id': 9}\."),
        ({"id": 9, "category_id": 12}, "the segment 9 .* has the category_id 12, which is no"),
    ],
)
def test_segments_that_cannot_be_are_named(pair, info, message):
    def change(document):
        document["annotations"][0]["segments_info"].append(info)

    with pytest.raises(UsageError, match=rf"x\.json: {message}"):
        open_changed(pair, change).read("000000000001.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["annotations"].append(d["annotations"][2]),
            r"has '000000000003\.jpg' .*twice",
        ),
        (lambda d: d["annotations"].pop(), r"has no annotation of '000000000004\.jpg', nor of 0"),
        (lambda d: d["images"][1].update(id=1), r"has two images of the id 1\."),
        (lambda d: d["images"].pop(), "has annotations of the image_id 4, which is not among"),
        (lambda d: d.pop("images"), "has no list 'images'"),
        (lambda d: d["images"][1].pop("id"), r"images\[1\] has no 'id'"),
        (
            lambda d: d["categories"].pop(0),
            "the category id 1 is absent, in the vocabulary it is a",
        ),
        (
            lambda d: d["categories"][0].update(isthing=0),
            "the category id 1 is stuff, in the vocabulary it is a thing",
        ),
    ],
)
def test_files_that_contradict_themselves_are_refused(pair, change, message):
    with pytest.raises(UsageError, match=rf"x\.json: {message}"):
        open_changed(pair, change)


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(MissingDataError, match=r"x\.json: is not there"):
        open_coco_panoptic(tmp_path / "x.json", tmp_path, CATEGORIES)
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(UsageError, match=r"x\.json: is no JSON"):
        open_coco_panoptic(tmp_path / "x.json", tmp_path, CATEGORIES)


def test_a_map_that_lost_its_bytes_is_refused(pair):
    annotations, masks, _ = pair
    Image.open(masks / "000000000001.png").convert("L").save(masks / "000000000001.png")
    dataset = open_coco_panoptic(annotations, masks, CATEGORIES)
    with pytest.raises(UsageError, match=r"001\.png: is a picture of mode L\. Expected RGB"):
        dataset.read("000000000001.jpg")
