import numpy as np
import pytest

from odise_cli.commands.evaluation_figures import Scorers, percent
from odise_cli.evaluation.average_precision import AveragePrecision
from odise_cli.evaluation.mean_iou import MeanIoU
from odise_cli.evaluation.panoptic_quality import PanopticQuality
from odise_cli.structures import VOID_CATEGORY, Category, InstanceMask, LabelRuns, Labels, Region

CATEGORIES = tuple(
    Category(id=10 * k, words=(name,), isthing=k < 2, color=(0, 0, 0))
    for k, name in enumerate(("cat", "dog", "sky"))
)
IS_THING = np.array([True, True, False])


@pytest.fixture
def scores():
    """One image: the sky is found, the cat is taken for a dog."""
    panoptic_HW = np.array([[1] * 6 + [2] * 4], np.int32)
    truth = Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=(Region(id=1, category=2), Region(id=2, category=0)),
        semantic=LabelRuns.of_map(np.array([[2] * 6 + [0] * 4], np.uint16)),
    )
    predicted = Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=(Region(id=1, category=2), Region(id=2, category=1)),
        semantic=LabelRuns.of_map(np.array([[2] * 6 + [1] * 4], np.uint16)),
        instances=(InstanceMask(category=1, rle={"size": [1, 10], "counts": "64"}, score=0.5),),
    )
    scorers = Scorers(
        is_thing=IS_THING,
        panoptic=PanopticQuality(3),
        instances=AveragePrecision(IS_THING),
        semantic=MeanIoU(3),
    )
    scorers.update(0, truth, predicted)
    return scorers.compute()


def test_the_figures_of_a_report(scores):
    figures = scores.figures()
    # sky 1, cat missed 0, dog spurious 0; with truth are sky and cat.
    assert figures["PQ"] == pytest.approx(100 / 3)
    assert figures["PQ_with_truth"] == 50.0
    assert (figures["PQ_things"], figures["PQ_stuff"]) == (0.0, 100.0)
    assert figures["mAP"] == 0.0
    assert figures["AP_large"] is None
    # Of the ten pixels, six are right; the dog has no ground truth.
    assert figures["mIoU"] == 50.0
    assert figures["pixel_accuracy"] == pytest.approx(60.0)
    assert figures["fwIoU"] == pytest.approx(60.0)


def test_the_figures_of_some_categories(scores):
    assert scores.figures_of(~IS_THING) == {"PQ": 100.0, "mAP": None, "mIoU": 100.0}
    assert scores.figures_of(np.zeros(3, bool)) == {"PQ": None, "mAP": None, "mIoU": None}


def test_a_row_for_each_category(scores):
    cat, dog, sky = scores.category_rows(CATEGORIES)
    assert (sky["id"], sky["name"], sky["isthing"]) == (20, "sky", False)
    assert (sky["PQ"], sky["SQ"], sky["RQ"], sky["IoU"], sky["AP"]) == (100.0,) * 4 + (None,)
    assert (cat["num_matched"], cat["num_spurious"], cat["num_missed"]) == (0, 0, 1)
    assert (dog["num_matched"], dog["num_spurious"], dog["num_missed"]) == (0, 1, 0)
    assert (cat["num_true_px"], dog["num_true_px"], sky["num_true_px"]) == (4, 0, 6)
    assert dog["IoU"] is None


def test_the_confusions_that_cost_most(scores):
    # Named right: sky 1, cat 1 and no dog at all; in pixels cat 0 becomes 1 beside the sky.
    assert scores.confusion_rows(CATEGORIES) == {
        "panoptic": [{"true": "cat", "predicted": "dog", "num_segments": 1, "cost": 66.6666666667}],
        "semantic": [{"true": "cat", "predicted": "dog", "num_px": 4, "cost": 50.0}],
    }


def test_images_are_ranked_by_the_figure_of_each_alone(scores):
    assert scores.ranked_images(["a.jpg"]) == {
        "measure": "PQ",
        "worst": [{"name": "a.jpg", "value": 33.3333333333}],
        "best": [],
    }
    assert scores.ranking_measure == "PQ"
    assert scores.ranking.worst == ((0, pytest.approx(1 / 3)),)
    scorers = Scorers(is_thing=IS_THING, panoptic=None, instances=None, semantic=MeanIoU(3))
    right = Labels(semantic=LabelRuns.of_map(np.array([[0, 1]], np.uint16)))
    wrong = Labels(semantic=LabelRuns.of_map(np.array([[0, VOID_CATEGORY]], np.uint16)))
    scorers.update(0, right, right)
    scorers.update(1, right, wrong)
    scorers.update(
        2, Labels(semantic=LabelRuns.of_map(np.full((1, 2), VOID_CATEGORY, np.uint16))), right
    )
    alone = scorers.compute()
    assert alone.ranking_measure == "mIoU"
    assert alone.confusion_rows(CATEGORIES)["semantic"][0]["predicted"] is None
    assert (alone.ranking.worst, alone.ranking.best) == (((1, 0.5),), ((0, 1.0),))


def test_categories_without_truth(scores):
    assert scores.without_truth(CATEGORIES) == {
        "panoptic": ["dog"],
        # The sky is no thing: nobody expects instances of it.
        "instances": ["dog"],
        "semantic": ["dog"],
    }


def test_categories_with_truth(scores):
    assert scores.has_truth.tolist() == [True, False, True]


def test_what_is_not_measured_has_no_figure():
    nothing = Scorers(is_thing=IS_THING, panoptic=None, instances=None, semantic=None).compute()
    assert nothing.figures() == {}
    assert nothing.without_truth(CATEGORIES) == {}
    assert nothing.confusion_rows(CATEGORIES) == {}
    assert nothing.ranking_measure is None


def test_percentages_are_rounded_where_only_the_order_of_a_sum_shows():
    assert percent(0.9999999999999998) == 100.0
    assert percent(1 / 3) == 33.3333333333
    assert percent(float("nan")) is None
