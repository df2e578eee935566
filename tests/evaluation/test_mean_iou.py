import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from odise_cli.evaluation.mean_iou import MeanIoU
from odise_cli.structures import VOID_CATEGORY
from tests.evaluation.scenes import as_runs

NUM_CATEGORIES = 5
EVERYTHING = np.ones(NUM_CATEGORIES, bool)
maps = hnp.arrays(np.uint16, (4, 6), elements=st.sampled_from([0, 1, 2, 4, VOID_CATEGORY]))
pairs = st.lists(st.tuples(maps, maps), min_size=1, max_size=4)


def scored(images, num_categories=NUM_CATEGORIES):
    accumulator = MeanIoU(num_categories)
    for truth_HW, predicted_HW in images:
        accumulator.update(*as_runs((truth_HW, predicted_HW)))
    return accumulator.compute()


@given(images=pairs)
def test_scores_are_those_of_a_loop_over_categories(images):
    truth = np.concatenate([truth_HW.ravel() for truth_HW, _ in images])
    predicted = np.concatenate([predicted_HW.ravel() for _, predicted_HW in images])
    predicted, truth = predicted[truth != VOID_CATEGORY], truth[truth != VOID_CATEGORY]
    scores = scored(images)
    ious, accuracies, weights = [], [], []
    for k in range(NUM_CATEGORIES):
        if not (truth == k).any():
            assert np.isnan(scores.iou[k])
            continue
        both = ((truth == k) & (predicted == k)).sum()
        ious.append(both / ((truth == k) | (predicted == k)).sum())
        accuracies.append(both / (truth == k).sum())
        weights.append((truth == k).sum())
    if not ious:
        assert np.isnan(scores.mean_iou(EVERYTHING))
        assert np.isnan(scores.frequency_weighted_iou)
        assert np.isnan(scores.pixel_accuracy)
        return
    assert scores.mean_iou(EVERYTHING) == pytest.approx(sum(ious) / len(ious))
    assert scores.mean_accuracy == pytest.approx(sum(accuracies) / len(accuracies))
    assert scores.pixel_accuracy == pytest.approx((truth == predicted).sum() / len(truth))
    weighted = sum(iou * weight for iou, weight in zip(ious, weights, strict=True))
    assert scores.frequency_weighted_iou == pytest.approx(weighted / sum(weights))


def test_by_hand():
    truth_HW = np.array([[0, 0, 1, VOID_CATEGORY]], np.uint16)
    predicted_HW = np.array([[0, 1, 1, 2]], np.uint16)
    scores = scored([(truth_HW, predicted_HW)])
    assert scores.iou[:2].tolist() == [1 / 2, 1 / 2]
    # Category 2 was predicted on void alone and has no ground truth: it counts nowhere.
    assert scores.num_predicted.tolist() == [1, 2, 0, 0, 0]
    assert scores.mean_iou(EVERYTHING) == 1 / 2
    assert np.isnan(scores.mean_iou(np.array([False, False, True, True, True])))
    assert scores.mean_accuracy == pytest.approx((1 / 2 + 1) / 2)


def test_a_void_prediction_is_a_miss_and_no_false_alarm():
    truth_HW = np.array([[0, 0, 1]], np.uint16)
    predicted_HW = np.array([[0, VOID_CATEGORY, 1]], np.uint16)
    assert scored([(truth_HW, predicted_HW)]).iou[:2].tolist() == [1 / 2, 1.0]


@given(images=pairs)
def test_merged_parts_are_the_whole(images):
    merged = MeanIoU(NUM_CATEGORIES)
    for image in images:
        part = MeanIoU(NUM_CATEGORIES)
        part.update(*as_runs(image))
        merged.merge(part)
    whole = scored(images)
    np.testing.assert_array_equal(merged.compute().num_correct, whole.num_correct)
    np.testing.assert_array_equal(merged.compute().num_true, whole.num_true)
    np.testing.assert_array_equal(merged.compute().num_predicted, whole.num_predicted)


def test_ids_above_8_bits_stay_apart_and_thousands_of_categories_cost_little():
    truth_HW = np.array([[0, 256, 65_533]], np.uint16)
    accumulator = MeanIoU(65_535)
    accumulator.update(*as_runs((truth_HW, truth_HW[:, ::-1])))
    scores = accumulator.compute()
    assert scores.num_correct.sum() == 1
    assert scores.num_true[[0, 256, 65_533]].tolist() == [1, 1, 1]
    assert len(accumulator._cells) == 3
