import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from odise_cli.writers import regions
from odise_cli.writers.regions import packed_mask_to_rle, panoptic_to_regions, runs_to_rle

SIZES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20)
MAPS = hnp.arrays(np.int32, SIZES, elements=st.sampled_from([0, 1, 2, 255, 256, 70_000, 2**24 - 1]))
MASKS = hnp.arrays(bool, SIZES)


def official_rle(mask_HW):
    rle = coco_mask.encode(np.asfortranarray(mask_HW.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def check_against_pycocotools(panoptic_HW):
    found = panoptic_to_regions(panoptic_HW)
    assert found.ids.tolist() == [i for i in np.unique(panoptic_HW) if i]
    for index, id_ in enumerate(found.ids):
        rle = official_rle(panoptic_HW == id_)
        assert found.rle(index) == rle
        assert found.areas[index] == coco_mask.area(rle)
        assert found.boxes_xywh[index].tolist() == coco_mask.toBbox(rle).tolist()


@given(MAPS)
def test_every_segment_is_as_pycocotools_finds_it(panoptic_HW):
    check_against_pycocotools(panoptic_HW)


def test_blocks_join_without_a_seam(monkeypatch):
    monkeypatch.setattr(regions, "_BLOCK_PX", 8)
    panoptic_HW = np.random.default_rng(0).integers(0, 3, (5, 30)).astype(np.int32)
    check_against_pycocotools(panoptic_HW)


def test_a_map_of_void_has_no_segments():
    found = panoptic_to_regions(np.zeros((3, 4), np.int32))
    assert len(found.ids) == len(found.areas) == len(found.boxes_xywh) == 0


def test_area_and_box_by_hand():
    panoptic_HW = np.array([[0, 9, 9], [0, 9, 0]], np.int32)
    found = panoptic_to_regions(panoptic_HW)
    assert found.areas.tolist() == [3]
    assert found.boxes_xywh.tolist() == [[1, 0, 2, 2]]


@given(MASKS)
def test_a_packed_mask_is_as_pycocotools_encodes_it(mask_HW):
    assert packed_mask_to_rle(np.packbits(mask_HW), mask_HW.shape) == official_rle(mask_HW)


@pytest.mark.parametrize("value", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 8), (8, 3)])
def test_a_uniform_mask_is_as_pycocotools_encodes_it(size, value):
    mask_HW = np.full(size, value)
    assert packed_mask_to_rle(np.packbits(mask_HW), size) == official_rle(mask_HW)


def test_runs_that_touch_are_joined():
    # Rows 1..2 of the first column and row 0 of the second are pixels 1, 2 and 3: one run.
    rle = runs_to_rle(np.array([1, 3]), np.array([2, 1]), (3, 2))
    assert rle == official_rle(np.array([[0, 1], [1, 0], [1, 0]], bool))
