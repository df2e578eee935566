"""Average precision against pycocotools over all images at once, and by hand."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odise_cli.evaluation.average_precision import (
    AveragePrecision,
    mean_precision,
    thing_instances,
)
from odise_cli.structures import LabelRuns, Labels, Region
from tests.evaluation.masks import SIZE, mask, random_image

IS_THING = np.array([True, True, False, True])


def scored(images):
    accumulator = AveragePrecision(IS_THING)
    for number, (truth, predicted) in enumerate(images):
        accumulator.update(number, truth, predicted)
    return accumulator.compute()


def official_stats(images):
    """pycocotools' twelve figures, by the way that its own example goes."""
    annotations, results = [], []
    for number, (truth, predicted) in enumerate(images):
        annotations += [
            {
                "id": len(annotations) + index + 1,
                "image_id": number,
                "category_id": m.category,
                "segmentation": m.rle,
                "area": float(coco_mask.area(m.rle)),
                "bbox": coco_mask.toBbox(m.rle).tolist(),
                "iscrowd": int(m.iscrowd),
            }
            for index, m in enumerate(m for m in truth if IS_THING[m.category])
        ]
        results += [
            {
                "image_id": number,
                "category_id": m.category,
                "segmentation": m.rle,
                "score": m.score,
            }
            for m in predicted
            if IS_THING[m.category]
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [
                {"id": number, "height": SIZE[0], "width": SIZE[1]} for number in range(len(images))
            ],
            "categories": [{"id": k} for k in np.flatnonzero(IS_THING).tolist()],
            "annotations": annotations,
        }
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng, range(4)) for _ in range(25)]
    scores = scored(images)
    found = [
        mean_precision(values)
        for values in (
            scores.ap,
            scores.ap50,
            scores.ap75,
            scores.ap_small,
            scores.ap_medium,
            scores.ap_large,
        )
    ]
    np.testing.assert_allclose(found, official_stats(images)[:6], rtol=0, atol=1e-12)
    assert 0.05 < found[0] < 0.95
    assert np.isnan(scores.ap[2])


def test_merged_parts_are_the_whole_in_any_order():
    rng = np.random.default_rng(9)
    images = [random_image(rng, range(4)) for _ in range(12)]
    parts = [AveragePrecision(IS_THING) for _ in range(2)]
    for number, image in enumerate(images):
        parts[number % 2].update(number, *image)
    parts[1].merge(parts[0])
    np.testing.assert_array_equal(parts[1].compute().ap, scored(images).ap)


def test_instances_of_stuff_count_nowhere():
    box = (0, 0, 50, 50)
    scores = scored([([mask(2, box), mask(0, box)], [mask(2, box), mask(0, box)])])
    assert scores.has_truth.tolist() == [True, False, False, False]
    assert scores.ap[0] == pytest.approx(1.0)


def test_no_instance_anywhere_is_no_figure():
    scores = scored([([], [])])
    assert np.isnan(scores.ap).all()
    assert np.isnan(mean_precision(scores.ap))


def test_a_category_without_truth_counts_in_no_average():
    box = (0, 0, 50, 50)
    scores = scored([([mask(0, box)], [mask(0, box), mask(1, box)])])
    assert mean_precision(scores.ap) == pytest.approx(1.0)


def test_the_stated_area_decides_the_size_class():
    box = (0, 0, 20, 20)
    small = scored([([mask(0, box)], [mask(0, box)])])
    stated = scored([([mask(0, box, area_px=5000.0)], [mask(0, box)])])
    assert np.isnan(small.ap_medium[0])
    assert stated.ap_medium[0] == pytest.approx(1.0)


def test_nothing_is_printed(capsys):
    scored([([mask(0, (0, 0, 9, 9))], [mask(0, (0, 0, 9, 9))])])
    assert capsys.readouterr() == ("", "")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_things_of_a_panoptic_map_become_instances():
    panoptic_HW = np.array([[5, 5, 7], [0, 9, 7]], np.int32)
    labels = Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=(
            Region(id=5, category=0),
            Region(id=7, category=2),
            Region(id=9, category=3, iscrowd=True),
        ),
    )
    instances = thing_instances(labels, IS_THING)
    assert [(m.category, m.iscrowd) for m in instances] == [(0, False), (3, True)]
    for instance, region_id in zip(instances, (5, 9), strict=True):
        np.testing.assert_array_equal(coco_mask.decode(instance.rle), panoptic_HW == region_id)


@given(hnp.arrays(np.int32, (5, 4), elements=st.sampled_from([0, 3, 70_000])))
def test_masks_of_a_panoptic_map_are_those_that_pycocotools_encodes(panoptic_HW):
    ids = sorted({*panoptic_HW.ravel().tolist()} - {0})
    labels = Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=tuple(Region(id=id_, category=0) for id_ in ids),
    )
    expected = [coco_mask.encode(np.asfortranarray(panoptic_HW == id_, np.uint8)) for id_ in ids]
    assert [instance.rle for instance in thing_instances(labels, IS_THING)] == expected
