import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from odise_cli.structures import Instances
from odise_cli.writers.instances import instance_results
from tests.writers.fakes import CATEGORIES, open_run, record, result, result_of, write_run


def packed(*masks_HW):
    return np.packbits(np.stack(masks_HW).reshape(len(masks_HW), -1), axis=1)


def test_results_by_hand():
    one = np.array([[0, 1, 1], [0, 1, 0]], bool)
    other = np.array([[1, 1, 1], [1, 1, 1]], bool)
    instances = Instances(
        categories=np.array([2, 0, 1], np.int32),
        scores=np.array([0.75, 0.5, 0.25], np.float32),
        packed_masks=packed(other, one),
        # The first and the last are one mask under two names.
        mask_rows=np.array([1, 0, 1]),
    )
    results = instance_results(instances, image_id=9, size=(2, 3), categories=CATEGORIES)
    # Down the columns: two pixels without, then three with, then one without.
    assert results == [
        {
            "image_id": 9,
            "category_id": 70_000,
            "score": 0.75,
            "bbox": [1.0, 0.0, 2.0, 2.0],
            "segmentation": {"size": [2, 3], "counts": "231"},
        },
        {
            "image_id": 9,
            "category_id": 7,
            "score": 0.5,
            "bbox": [0.0, 0.0, 3.0, 2.0],
            "segmentation": {"size": [2, 3], "counts": "06"},
        },
        {
            "image_id": 9,
            "category_id": CATEGORIES[1].id,
            "score": 0.25,
            "bbox": [1.0, 0.0, 2.0, 2.0],
            "segmentation": {"size": [2, 3], "counts": "231"},
        },
    ]


def test_an_image_without_instances_has_no_results():
    instances = Instances(
        categories=np.zeros(0, np.int32),
        scores=np.zeros(0, np.float32),
        packed_masks=np.zeros((0, 1), np.uint8),
        mask_rows=np.zeros(0, np.int64),
    )
    assert instance_results(instances, image_id=1, size=(2, 3), categories=CATEGORIES) == []


# pycocotools 2.0.11 has not caught up with numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_loads_every_mask_back(tmp_path):
    write_run(tmp_path, range(6), outputs=("instances",))
    truth = COCO()
    truth.dataset = {
        "images": [{"id": n + 1, "height": 24, "width": 36} for n in range(6)],
        "categories": [{"id": c.id, "name": c.name} for c in CATEGORIES],
        "annotations": [],
    }
    truth.createIndex()
    loaded = truth.loadRes(str(tmp_path / "instances.json"))
    for number in range(6):
        segmentation = result(number).segmentation
        annotations = loaded.loadAnns(loaded.getAnnIds(imgIds=[number + 1]))
        assert len(annotations) == len(segmentation.segments)
        for index, (annotation, segment) in enumerate(
            zip(annotations, segmentation.segments, strict=True)
        ):
            mask_HW = segmentation.instances.mask(index, (24, 36))
            written = annotation["segmentation"]
            official = coco_mask.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
            assert coco_mask.iou([written], [official], [0]).item() == 1.0
            assert (loaded.annToMask(annotation) == mask_HW).all()
            assert annotation["category_id"] == CATEGORIES[segment.category].id
            assert coco_mask.area(written) == mask_HW.sum()


def test_a_run_without_instances_is_an_empty_list(tmp_path):
    with open_run(tmp_path, outputs=("instances",)) as folder:
        folder.write(result_of(record(0), np.zeros((1, 1), np.int32)))
        folder.finish([record(0)], {})
    assert json.loads((tmp_path / "instances.json").read_text()) == []
