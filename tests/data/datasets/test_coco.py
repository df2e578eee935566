import json

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from odise_cli.data.datasets.coco import open_coco
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, write_coco

CATEGORIES = categories_of("coco133")
FILE = "annotations/instances_val2017.json"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_instances_come_from_the_detection_annotations(tmp_path):
    scenes = write_coco(tmp_path, 3)
    dataset = open_coco(tmp_path, CATEGORIES)
    for number, name in enumerate(scenes, start=1):
        polygon, compressed, plain = dataset.read(name).instances
        assert [CATEGORIES[m.category].id for m in (polygon, compressed, plain)] == [1, 3, 1]
        assert [m.iscrowd for m in (polygon, compressed, plain)] == [False, False, True]
        assert polygon.area_px == 200.0
        box = np.zeros(SIZE, np.uint8)
        box[4:20, 2 + number : 30] = 1
        np.testing.assert_array_equal(coco_mask.decode(compressed.rle), box)
        np.testing.assert_array_equal(coco_mask.decode(plain.rle), box)
        drawn = Image.new("L", SIZE[::-1])
        ImageDraw.Draw(drawn).rectangle((1, 1, 20, 10), fill=1)
        np.testing.assert_array_equal(coco_mask.decode(polygon.rle), np.asarray(drawn))


def test_the_maps_may_lie_beside_the_annotations(tmp_path):
    write_coco(tmp_path, 1)
    root = tmp_path / "coco"
    (root / "annotations/panoptic_val2017").rename(root / "panoptic_val2017")
    assert open_coco(tmp_path, CATEGORIES).read("000000000001.jpg").regions


def test_counts(tmp_path):
    write_coco(tmp_path, 3)
    (tmp_path / "coco/val2017/000000000002.jpg").unlink()
    counts = {count.what: count for count in open_coco(tmp_path, CATEGORIES).counts}
    assert counts["val2017/*.jpg"].missing == ("000000000002.jpg",)
    assert counts["images in panoptic_val2017.json"].published == 5000
    assert counts["images in instances_val2017.json"].found == 3
    assert counts["categories"].is_complete


def test_missing_parts_are_named_with_their_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"coco: has no annotations/panoptic_val2017\.json"):
        open_coco(tmp_path, CATEGORIES)
    write_coco(tmp_path, 1)
    (tmp_path / "coco" / FILE).unlink()
    with pytest.raises(MissingDataError, match=rf"{FILE}: is not there\..*cocodataset\.org"):
        open_coco(tmp_path, CATEGORIES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entry: entry.update(category_id=12), "annotation 10 has the category_id 12"),
        (
            lambda entry: entry.update(segmentation={"size": [3, 3], "counts": [9]}),
            r"the mask of annotation 10 is \(3, 3\) \(height, width\), its image is \(30, 44\)",
        ),
    ],
)
def test_annotations_that_cannot_be_are_named(tmp_path, change, message):
    write_coco(tmp_path, 1)
    path = tmp_path / "coco" / FILE
    document = json.loads(path.read_text())
    change(document["annotations"][0])
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"{FILE}: .*{message}"):
        open_coco(tmp_path, CATEGORIES).read("000000000001.jpg")


def test_an_image_that_only_one_file_knows_is_named(tmp_path):
    write_coco(tmp_path, 2)
    path = tmp_path / "coco" / FILE
    document = json.loads(path.read_text())
    document["images"].pop()
    document["annotations"] = []
    path.write_text(json.dumps(document))
    with pytest.raises(
        UsageError, match=r"does not know the image '000000000002\.jpg', nor 0 more"
    ):
        open_coco(tmp_path, CATEGORIES)


def test_an_annotation_of_no_image_is_named(tmp_path):
    write_coco(tmp_path, 1)
    path = tmp_path / "coco" / FILE
    document = json.loads(path.read_text())
    document["annotations"][1]["image_id"] = 77
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"{FILE}: the annotation 11 is of the image_id 77,"):
        open_coco(tmp_path, CATEGORIES)
