"""Federated average precision against a slow loop that follows the paper rule by rule."""

from dataclasses import dataclass

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from odise_cli.evaluation.federated_precision import FederatedPrecision
from tests.evaluation.masks import mask, random_image

NUM_CATEGORIES = 5
IOUS = np.linspace(0.5, 0.95, 10).tolist()
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
BOX = (0, 0, 50, 50)


@dataclass
class Image:
    truth: list
    predicted: list
    absent: frozenset = frozenset()
    incomplete: frozenset = frozenset()


def random_federated_image(rng, **kinds):
    """Some categories are absent, some incomplete; detections also of what nobody looked for."""
    truth, predicted = random_image(rng, range(NUM_CATEGORIES), crowd_share=0.0, **kinds)
    others = random_image(rng, range(NUM_CATEGORIES), crowd_share=0.0, **kinds)[1]
    present = {m.category for m in truth}
    absent = {k for k in range(NUM_CATEGORIES) if k not in present and rng.random() < 0.5}
    incomplete = {k for k in present if rng.random() < 0.4}
    return Image(truth, predicted + others, frozenset(absent), frozenset(incomplete))


def outcomes_of_image(image, category, iou_threshold, area_range):
    """(score, whether it found something) of each detection that counts, and how many true."""
    low, high = area_range
    best = sorted(image.predicted, key=lambda m: -m.score)[:300]
    detections = [m for m in best if m.category == category]
    truths = [m for m in image.truth if m.category == category]
    if not truths and category not in image.absent:
        return [], 0
    is_counted = [bool(low <= coco_mask.area(m.rle) <= high) for m in truths]
    taken, outcomes = set(), []
    for detection in detections:
        # The best free instance of those in the area range; only if none fits, one outside.
        found, found_iou = None, min(iou_threshold, 1 - 1e-10)
        for wanted in (True, False):
            for place, other in enumerate(truths):
                if place in taken or is_counted[place] is not wanted:
                    continue
                iou = float(coco_mask.iou([detection.rle], [other.rle], [0])[0, 0])
                if iou >= found_iou:
                    found, found_iou = place, iou
            if found is not None:
                break
        if found is not None:
            taken.add(found)
            if is_counted[found]:
                outcomes.append((detection.score, True))
        elif low <= coco_mask.area(detection.rle) <= high and category not in image.incomplete:
            outcomes.append((detection.score, False))
    return outcomes, sum(is_counted)


def slow_precision(images, category, iou_threshold, area_range):
    """The interpolated precision at recall 0, 0.01 … 1, averaged; None without truth."""
    results = [outcomes_of_image(i, category, iou_threshold, area_range) for i in images]
    num_true = sum(number for _, number in results)
    if num_true == 0:
        return None
    outcomes = sorted((o for one, _ in results for o in one), key=lambda outcome: -outcome[0])
    curve, num_found = [], 0
    for rank, (_, is_found) in enumerate(outcomes, start=1):
        num_found += is_found
        curve.append((num_found / num_true, num_found / rank))
    total = 0.0
    for level in np.linspace(0, 1, 101):
        total += max((precision for recall, precision in curve if recall >= level), default=0.0)
    return total / 101


def slow_average(images, category, ious=IOUS, area="all"):
    values = [slow_precision(images, category, iou, AREAS[area]) for iou in ious]
    return np.nan if None in values else float(np.mean(values))


def scored(images):
    accumulator = FederatedPrecision(NUM_CATEGORIES)
    for number, image in enumerate(images):
        accumulator.update(
            number,
            image.truth,
            image.predicted,
            absent=image.absent,
            incomplete=image.incomplete,
        )
    return accumulator


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_a_slow_loop_over_the_rules(seed):
    rng = np.random.default_rng(seed)
    images = [random_federated_image(rng) for _ in range(15)]
    scores = scored(images).compute()
    for found, ious, area in (
        (scores.ap, IOUS, "all"),
        (scores.ap50, [0.5], "all"),
        (scores.ap75, [0.75], "all"),
        (scores.ap_small, IOUS, "small"),
        (scores.ap_medium, IOUS, "medium"),
        (scores.ap_large, IOUS, "large"),
    ):
        expected = [slow_average(images, k, ious, area) for k in range(NUM_CATEGORIES)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert 0.05 < np.nanmean(scores.ap) < 0.95


def test_only_the_300_best_of_an_image_count():
    rng = np.random.default_rng(1)
    images = [
        random_federated_image(rng, num_truth=9, num_near=3),
        Image([mask(0, BOX), mask(1, BOX)], []),
    ]
    images[1].predicted += [mask(k % 2, (60 + k % 40, 60, 110, 110), score=0.9) for k in range(299)]
    images[1].predicted += [mask(0, BOX, score=0.8), mask(1, BOX, score=0.7)]
    ap = scored(images).compute().ap
    expected = [slow_average(images, k) for k in range(NUM_CATEGORIES)]
    np.testing.assert_allclose(ap, expected, rtol=0, atol=1e-9)
    # The 300th is the right one of category 0; that of category 1 came too late.
    alone = scored(images[1:]).compute().ap
    assert alone[0] > 0
    assert alone[1] == 0


def test_by_hand():
    right, wrong = mask(0, BOX, score=0.5), mask(0, (100, 60, 150, 110), score=0.9)
    for image, expected in (
        # A false positive before the true one: precision 1/2 at every recall.
        (Image([mask(0, BOX)], [right, wrong]), 0.5),
        # Not all instances are annotated: it may well be one.
        (Image([mask(0, BOX)], [right, wrong], incomplete=frozenset({0})), 1.0),
    ):
        assert scored([image]).compute().ap[0] == pytest.approx(expected)
    other = Image([], [mask(0, BOX, score=0.9)])
    assert scored([Image([mask(0, BOX)], [right]), other]).compute().ap[0] == pytest.approx(1.0)
    other = Image([], [mask(0, BOX, score=0.9)], absent=frozenset({0}))
    assert scored([Image([mask(0, BOX)], [right]), other]).compute().ap[0] == pytest.approx(0.5)


def test_merged_parts_are_the_whole_in_any_order():
    rng = np.random.default_rng(9)
    images = [random_federated_image(rng) for _ in range(10)]
    parts = [FederatedPrecision(NUM_CATEGORIES) for _ in range(2)]
    for number, image in enumerate(images):
        parts[number % 2].update(
            number,
            image.truth,
            image.predicted,
            absent=image.absent,
            incomplete=image.incomplete,
        )
    parts[1].merge(parts[0])
    np.testing.assert_array_equal(parts[1].compute().ap, scored(images).compute().ap)


def test_scores_do_not_change_when_more_images_come():
    accumulator = scored([Image([mask(0, BOX)], [mask(0, BOX)])])
    before = accumulator.compute()
    accumulator.update(1, [mask(0, BOX)], [], absent=(), incomplete=())
    assert before.ap[0] == pytest.approx(1.0)
    # Half of the instances are found: precision 1 up to a recall of 0.5, which 51 levels reach.
    assert accumulator.compute().ap[0] == pytest.approx(51 / 101)


def test_no_image_and_no_instance_are_no_figure():
    assert np.isnan(FederatedPrecision(NUM_CATEGORIES).compute().ap).all()
    assert np.isnan(scored([Image([], [])]).compute().ap).all()


def test_nothing_is_printed(capfd):
    scored([Image([mask(0, BOX)], [mask(0, BOX)])]).compute()
    assert capfd.readouterr() == ("", "")
