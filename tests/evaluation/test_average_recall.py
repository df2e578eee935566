"""Class-agnostic recall against pycocotools over all images at once, and by hand."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odise_cli.evaluation.average_recall import AverageRecall
from tests.evaluation.masks import SIZE, mask, random_image

BOX = (0, 0, 50, 50)


def scored(images):
    accumulator = AverageRecall()
    for number, (truth, predicted) in enumerate(images):
        accumulator.update(number, truth, predicted)
    return accumulator


def official_recall(images):
    """AR@100 over all areas, small, medium and large, as pycocotools says without categories."""
    annotations = [
        {
            "image_id": number,
            "category_id": m.category,
            "segmentation": m.rle,
            "area": float(coco_mask.area(m.rle)),
            "bbox": coco_mask.toBbox(m.rle).tolist(),
            "iscrowd": int(m.iscrowd),
        }
        for number, (truth, _) in enumerate(images)
        for m in truth
    ]
    results = [
        {"image_id": number, "category_id": m.category, "segmentation": m.rle, "score": m.score}
        for number, (_, predicted) in enumerate(images)
        for m in predicted
    ]
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": n, "height": SIZE[0], "width": SIZE[1]} for n in range(len(images))],
        "categories": [{"id": k} for k in range(4)],
        "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "segm")
        evaluator.params.useCats = 0
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    # AR@100, and its small, medium and large instances.
    return evaluator.stats[8:12]


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    images = [random_image(rng, range(4)) for _ in range(25)]
    scores = scored(images).compute()
    found = [scores.ar, scores.ar_small, scores.ar_medium, scores.ar_large]
    np.testing.assert_allclose(found, official_recall(images), rtol=0, atol=1e-12)
    assert 0.05 < found[0] < 0.95


def test_the_hundred_best_of_an_image_count_over_all_categories():
    rng = np.random.default_rng(5)
    truth, predicted = random_image(rng, range(4), num_truth=60, num_near=12)
    assert len(predicted) > 100
    images = [(truth, predicted)]
    scores = scored(images).compute()
    found = [scores.ar, scores.ar_small, scores.ar_medium, scores.ar_large]
    np.testing.assert_allclose(found, official_recall(images), rtol=0, atol=1e-12)
    elsewhere = [mask(1, (60, 60, 90, 90), score=0.9)] * 100
    late = [mask(0, BOX, score=0.1)]
    assert scored([([mask(0, BOX)], elsewhere[1:] + late)]).compute().ar == 1.0
    assert scored([([mask(0, BOX)], elsewhere + late)]).compute().ar == 0.0


def test_what_it_is_called_does_not_matter():
    assert scored([([mask(0, BOX)], [mask(3, BOX)])]).compute().ar == 1.0


def test_by_hand():
    # 40 of 50 columns: an IoU of 0.8, at or above seven of the ten thresholds.
    near = mask(0, (0, 0, 40, 50))
    scores = scored([([mask(0, BOX), mask(1, (60, 60, 90, 90))], [near])]).compute()
    assert scores.ar == pytest.approx(7 / 10 / 2)
    assert scores.ar_medium == pytest.approx(7 / 10)
    assert scores.ar_small == 0.0
    assert np.isnan(scores.ar_large)


def test_crowds_are_not_missed():
    scores = scored([([mask(0, BOX, iscrowd=True), mask(1, BOX)], [mask(1, BOX)])]).compute()
    assert scores.ar == 1.0


def test_merged_parts_are_the_whole_in_any_order():
    rng = np.random.default_rng(9)
    images = [random_image(rng, range(4)) for _ in range(12)]
    parts = [AverageRecall() for _ in range(2)]
    for number, image in enumerate(images):
        parts[number % 2].update(number, *image)
    parts[1].merge(parts[0])
    assert parts[1].compute() == scored(images).compute()


def test_no_image_and_no_instance_are_no_figure():
    for accumulator in (AverageRecall(), scored([([], [mask(0, BOX)])])):
        assert np.isnan(accumulator.compute().ar)
