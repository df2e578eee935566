import json

import numpy as np
from pycocotools import mask as coco_mask

from odise_cli.writers.regions import panoptic_to_regions
from odise_cli.writers.segments import segment_lines
from tests.writers.fakes import CATEGORIES, record, result, segments_of, write_run


def test_a_line_by_hand():
    panoptic_HW = np.array([[0, 5, 5], [300, 5, 0]], np.int32)
    lines = segment_lines(
        record(4), segments_of(panoptic_HW), panoptic_to_regions(panoptic_HW), CATEGORIES
    )
    assert len(lines) == 2
    assert lines[1] == {
        "image": "a/image4.jpg",
        "image_id": 5,
        "segment_id": 300,
        "category": "sky",
        "category_id": 300,
        "isthing": 0,
        "score": 0.5,
        "alternatives": [
            {"category": "sky", "category_id": 300, "probability": 0.5},
            {"category": "cat", "category_id": 7, "probability": 0.01},
        ],
        "area": 1,
        "bbox": [0, 1, 1, 1],
        # Down the columns: one pixel without, one with, four without.
        "segmentation": {"size": [2, 3], "counts": "114"},
    }


def test_every_line_of_a_run_holds_the_mask_of_its_segment(tmp_path):
    write_run(tmp_path, range(4), outputs=("segments",))
    lines = list(map(json.loads, (tmp_path / "segments.jsonl").read_text().splitlines()))
    expected = [
        (record(number).name, segment.id)
        for number in range(4)
        for segment in result(number).segmentation.segments
    ]
    assert [(line["image"], line["segment_id"]) for line in lines] == expected
    for line in lines:
        panoptic_HW = result(line["image_id"] - 1).segmentation.panoptic_HW
        mask_HW = (panoptic_HW == line["segment_id"]).astype(np.uint8)
        official = coco_mask.encode(np.asfortranarray(mask_HW))
        assert coco_mask.iou([line["segmentation"]], [official], [0]).item() == 1.0
