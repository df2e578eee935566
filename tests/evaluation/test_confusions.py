"""What wrong names cost, against scoring the same images with those names put right."""

import numpy as np
import pytest

from odise_cli.evaluation.confusions import Confusion, costliest_pixels, costliest_segments
from odise_cli.evaluation.mean_iou import MeanIoU
from odise_cli.evaluation.panoptic_quality import PanopticQuality
from odise_cli.structures import VOID_CATEGORY, Region
from tests.evaluation.scenes import NUM_CATEGORIES, as_runs, disturbed, random_map, regions_of

EVERYTHING = np.ones(NUM_CATEGORIES, bool)


def panoptic_scores(pairs):
    quality = PanopticQuality(NUM_CATEGORIES)
    for pair in pairs:
        quality.update(*as_runs(pair))
    return quality.compute()


def semantic_scores(pairs):
    accumulator = MeanIoU(NUM_CATEGORIES)
    for pair in pairs:
        accumulator.update(*as_runs(pair))
    return accumulator.compute()


def random_pairs(seed, num_images=3, crowd_share=0.2):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(num_images):
        truth_HW = random_map(rng, (12, 16))
        predicted_HW = disturbed(rng, truth_HW)
        truth = regions_of(rng, truth_HW, crowd_share=crowd_share)
        pairs.append((truth_HW, truth, predicted_HW, regions_of(rng, predicted_HW)))
    return pairs


def overlapping(pair):
    """(true region, predicted region, IoU) of those with IoU > 0.5, pixel by pixel."""
    truth_HW, truth, predicted_HW, predicted = pair
    for t in truth:
        for p in predicted:
            both = ((truth_HW == t.id) & (predicted_HW == p.id)).sum()
            either = ((truth_HW == t.id) | ((predicted_HW == p.id) & (truth_HW != 0))).sum()
            if not t.iscrowd and 2 * both > either:
                yield t, p, both / either


def renamed(pair, true, predicted):
    """The pair with the confused segments of two categories named right."""
    truth_HW, truth, predicted_HW, segments = pair
    found = {p.id for t, p, _ in overlapping(pair) if (t.category, p.category) == (true, predicted)}
    mended = tuple(Region(id=p.id, category=true) if p.id in found else p for p in segments)
    return truth_HW, truth, predicted_HW, mended


def test_a_cat_taken_for_a_dog_costs_its_match_and_the_dog_in_the_mean():
    map_HW = np.array([[1] * 6 + [2] * 4], np.int32)
    sky = Region(id=1, category=2)
    truth, predicted = (sky, Region(id=2, category=0)), (sky, Region(id=2, category=1))
    scores = panoptic_scores([(map_HW, truth, map_HW, predicted)])
    # Now: sky 1, cat 0, dog 0. Named right: sky 1, cat 1, and the dog is gone.
    assert costliest_segments(scores, num_kept=9) == (
        Confusion(true=0, predicted=1, count=1, cost=pytest.approx(1 - 1 / 3)),
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_cost_in_pq_is_what_naming_right_gains(seed):
    pairs = random_pairs(seed)
    scores = panoptic_scores(pairs)
    before = scores.average(EVERYTHING).pq
    found = costliest_segments(scores, num_kept=99)
    expected = {}
    for pair in pairs:
        for t, p, _ in overlapping(pair):
            if t.category != p.category:
                key = t.category, p.category
                expected[key] = expected.get(key, 0) + 1
    assert {(c.true, c.predicted): c.count for c in found} == expected
    for confusion in found:
        mended = [renamed(pair, confusion.true, confusion.predicted) for pair in pairs]
        gain = panoptic_scores(mended).average(EVERYTHING).pq - before
        assert confusion.cost == pytest.approx(gain, abs=1e-12)
    costs = [confusion.cost for confusion in found]
    assert costs == sorted(costs, reverse=True)
    assert min(costs, default=0.0) >= 0.0


def test_merged_confusions_are_those_of_the_whole():
    pairs = random_pairs(1, num_images=6)
    merged = PanopticQuality(NUM_CATEGORIES)
    for pair in pairs:
        part = PanopticQuality(NUM_CATEGORIES)
        part.update(*as_runs(pair))
        merged.merge(part)
    found, whole = merged.compute().confused, panoptic_scores(pairs).confused
    for name in ("true", "predicted", "num_missed", "num_spurious", "iou_sum"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_pixels_by_hand():
    truth_HW = np.array([[0, 0, 0, 0, 1, 1, 2, 2]], np.uint16)
    predicted_HW = np.array([[0, 0, 1, VOID_CATEGORY, 1, 1, 3, 3]], np.uint16)
    scores = semantic_scores([(truth_HW, predicted_HW)])
    assert costliest_pixels(scores, num_kept=9) == (
        # From 0 to 1; category 3 has no truth and counts nowhere.
        Confusion(true=2, predicted=3, count=2, cost=pytest.approx(1 / 3)),
        # Category 0 from 2/4 to 3/4, category 1 from 2/3 to 1.
        Confusion(true=0, predicted=1, count=1, cost=pytest.approx((1 / 4 + 1 / 3) / 3)),
        Confusion(true=0, predicted=VOID_CATEGORY, count=1, cost=pytest.approx(1 / 4 / 3)),
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_cost_in_miou_is_what_naming_right_gains(seed):
    rng = np.random.default_rng(seed)
    values = np.array([0, 1, 2, VOID_CATEGORY], np.uint16)
    truth_HW, predicted_HW = rng.choice(values, (2, 6, 8))
    scores = semantic_scores([(truth_HW, predicted_HW)])
    before = scores.mean_iou(EVERYTHING)
    for confusion in costliest_pixels(scores, num_kept=99):
        is_confused = (truth_HW == confusion.true) & (predicted_HW == confusion.predicted)
        assert confusion.count == is_confused.sum() > 0
        mended = np.where(is_confused, truth_HW, predicted_HW)
        gain = semantic_scores([(truth_HW, mended)]).mean_iou(EVERYTHING) - before
        assert confusion.cost == pytest.approx(gain, abs=1e-12)


def test_no_more_pairs_than_asked_for_and_ties_in_order():
    truth_HW = np.array([[0, 1, 2]], np.uint16)
    scores = semantic_scores([(truth_HW, truth_HW[:, ::-1])])
    assert [(c.true, c.predicted) for c in costliest_pixels(scores, num_kept=1)] == [(0, 2)]
    assert costliest_pixels(semantic_scores([(truth_HW, truth_HW)]), num_kept=1) == ()
    assert costliest_segments(panoptic_scores([]), num_kept=1) == ()
