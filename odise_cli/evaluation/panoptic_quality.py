"""Panoptic quality by category: PQ, and its parts SQ and RQ.

Knows region maps; does not know files or category names.

Source: A. Kirillov et al., "Panoptic Segmentation", CVPR 2019, sections 4.1 and 4.2, with the
COCO panoptic API's rules for void and crowd:

* a pair matches if both have the category and IoU > 0.5, void pixels of the ground truth taken
  out of the union; crowd regions match nothing and are not missed;
* an unmatched prediction that lies by more than half on void and its category's crowd region
  is no false positive; of several crowd regions of one category the last one listed counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odise_cli.evaluation.pixel_pairs import common_runs
from odise_cli.structures import LabelRuns, Region, places_of_ids

_VOID = 0
_MATCHING_IOU = 0.5
_IGNORED_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class PanopticAverage:
    """PQ, SQ and RQ averaged over some categories, 0..1; NaN over none."""

    pq: float
    sq: float
    rq: float
    num_categories: int


@dataclass(frozen=True, kw_only=True)
class ConfusedSegments:
    """Regions that were found and named wrongly, by C pairs of categories, in their order.

    A true region (crowds aside) and a predicted one of another category with an IoU > 0.5:
    more than half of either, so that neither can have another partner.
    """

    true: NDArray[np.int64]
    """[C] category index of the true regions."""
    predicted: NDArray[np.int64]
    """[C] category index of the predicted regions."""
    num_missed: NDArray[np.int64]
    """[C] how many; each is a false negative of the true category."""
    num_spurious: NDArray[np.int64]
    """[C] of these, false positives of the predicted category; others lie on void or crowd."""
    iou_sum: NDArray[np.float64]
    """[C] IoU summed over the pairs."""


@dataclass(frozen=True, kw_only=True)
class PanopticScores:
    """Panoptic quality of K categories, and the counts it comes from."""

    iou_sum: NDArray[np.float64]
    """[K] IoU summed over the matched pairs."""
    num_matched: NDArray[np.int64]
    """[K] true positives."""
    num_spurious: NDArray[np.int64]
    """[K] false positives: predicted regions without a partner."""
    num_missed: NDArray[np.int64]
    """[K] false negatives: true regions without a partner."""
    confused: ConfusedSegments
    """What of the last two was found and named wrongly."""

    @property
    def has_truth(self) -> NDArray[np.bool_]:
        """[K] whether the ground truth has a region (crowds aside) of the category."""
        return self.num_matched + self.num_missed > 0

    @property
    def is_counted(self) -> NDArray[np.bool_]:
        """[K] whether the official average counts it: there is a true or a spurious region."""
        return self.has_truth | (self.num_spurious > 0)

    @property
    def sq(self) -> NDArray[np.float64]:
        """[K] segmentation quality, 0..1: mean IoU of the matched pairs, 0 without any."""
        return self.iou_sum / np.maximum(self.num_matched, 1)

    @property
    def rq(self) -> NDArray[np.float64]:
        """[K] recognition quality, 0..1: F1 of the matching; NaN where nothing is counted."""
        total = self.num_matched + 0.5 * (self.num_spurious + self.num_missed)
        return _nan_where_zero(self.num_matched.astype(np.float64), total)

    @property
    def pq(self) -> NDArray[np.float64]:
        """[K] panoptic quality, 0..1; NaN where nothing is counted."""
        total = self.num_matched + 0.5 * (self.num_spurious + self.num_missed)
        return _nan_where_zero(self.iou_sum, total)

    def average(self, is_wanted: NDArray[np.bool_]) -> PanopticAverage:
        """The mean over those of the wanted categories that are counted.

        The official rule is to want all, all things or all stuff: a category that only false
        positives have then counts with 0. Intersect with `has_truth` to leave it out.

        Args:
            is_wanted: [K] which categories.
        """
        chosen = is_wanted & self.is_counted
        if not chosen.any():
            return PanopticAverage(pq=np.nan, sq=np.nan, rq=np.nan, num_categories=0)
        return PanopticAverage(
            pq=float(self.pq[chosen].mean()),
            sq=float(self.sq[chosen].mean()),
            rq=float(self.rq[chosen].mean()),
            num_categories=int(chosen.sum()),
        )


class PanopticQuality:
    """Accumulates matches of K categories, an image at a time."""

    def __init__(self, num_categories: int) -> None:
        self._iou_sum = np.zeros(num_categories, np.float64)
        self._num_matched = np.zeros(num_categories, np.int64)
        self._num_spurious = np.zeros(num_categories, np.int64)
        self._num_missed = np.zeros(num_categories, np.int64)
        self._confused: dict[tuple[int, int], tuple[int, int, float]] = {}
        """By true and predicted category: number missed, number spurious, sum of the IoU."""

    def update(
        self,
        truth: LabelRuns,
        true_regions: Sequence[Region],
        predicted: LabelRuns,
        predicted_regions: Sequence[Region],
    ) -> None:
        """Add one image.

        Args:
            truth: id of the true region of each pixel, 0 void.
            true_regions: each id occurs in `truth` and no other does.
            predicted: id of the predicted region of each pixel, 0 void.
            predicted_regions: likewise.
        """
        runs = common_runs(truth, predicted)
        of_truth = places_of_ids(truth.values, true_regions)[runs.first]
        of_predicted = places_of_ids(predicted.values, predicted_regions)[runs.second]
        # [1 + T, 1 + P] pixels of each pair, in the order of the lists; row and column 0 are void.
        shape = (1 + len(true_regions), 1 + len(predicted_regions))
        pixels = np.bincount(
            of_truth * shape[1] + of_predicted, weights=runs.lengths, minlength=shape[0] * shape[1]
        )
        self._match(
            pixels.astype(np.int64).reshape(shape),
            truth_categories=np.array([region.category for region in true_regions], np.int64),
            iscrowd=np.array([region.iscrowd for region in true_regions], bool),
            predicted_categories=np.array([r.category for r in predicted_regions], np.int64),
        )

    def merge(self, other: "PanopticQuality") -> None:
        """Add the images that another accumulator of the same categories has seen."""
        self._iou_sum += other._iou_sum
        self._num_matched += other._num_matched
        self._num_spurious += other._num_spurious
        self._num_missed += other._num_missed
        for categories, totals in other._confused.items():
            self._add_confused(categories, totals)

    def mean_pq(self) -> float:
        """`average` of all categories without the rest of `compute`; NaN over none."""
        total = self._num_matched + 0.5 * (self._num_spurious + self._num_missed)
        is_counted = total > 0
        if not is_counted.any():
            return np.nan
        return float((self._iou_sum[is_counted] / total[is_counted]).mean())

    def compute(self) -> PanopticScores:
        """The scores of the images so far."""
        pairs = sorted(self._confused)
        totals = [self._confused[pair] for pair in pairs]
        return PanopticScores(
            iou_sum=self._iou_sum.copy(),
            num_matched=self._num_matched.copy(),
            num_spurious=self._num_spurious.copy(),
            num_missed=self._num_missed.copy(),
            confused=ConfusedSegments(
                true=np.array([true for true, _ in pairs], np.int64),
                predicted=np.array([predicted for _, predicted in pairs], np.int64),
                num_missed=np.array([missed for missed, _, _ in totals], np.int64),
                num_spurious=np.array([spurious for _, spurious, _ in totals], np.int64),
                iou_sum=np.array([iou for _, _, iou in totals], np.float64),
            ),
        )

    def _match(
        self,
        overlap_TP: NDArray[np.int64],
        *,
        truth_categories: NDArray[np.int64],
        iscrowd: NDArray[np.bool_],
        predicted_categories: NDArray[np.int64],
    ) -> None:
        intersection_TP = overlap_TP[1:, 1:]
        truth_areas, predicted_areas = overlap_TP.sum(1)[1:], overlap_TP.sum(0)[1:]
        void_areas = overlap_TP[_VOID, 1:]
        union_TP = truth_areas[:, None] + (predicted_areas - void_areas) - intersection_TP
        # A prediction on nothing but void has no union with a region it does not touch.
        iou_TP = intersection_TP / np.maximum(union_TP, 1)
        is_same_TP = truth_categories[:, None] == predicted_categories
        overlaps_TP = (iou_TP > _MATCHING_IOU) & ~iscrowd[:, None]
        matched_T, matched_P = np.nonzero(overlaps_TP & is_same_TP)
        np.add.at(self._iou_sum, truth_categories[matched_T], iou_TP[matched_T, matched_P])
        np.add.at(self._num_matched, truth_categories[matched_T], 1)

        is_missed = ~iscrowd
        is_missed[matched_T] = False
        np.add.at(self._num_missed, truth_categories[is_missed], 1)

        ignored_areas = void_areas.copy()
        crowd_of_category = {int(truth_categories[t]): t for t in np.flatnonzero(iscrowd)}
        for p, category in enumerate(predicted_categories.tolist()):
            if category in crowd_of_category:
                ignored_areas[p] += intersection_TP[crowd_of_category[category], p]
        is_spurious = ignored_areas <= _IGNORED_SHARE * predicted_areas
        is_spurious[matched_P] = False
        np.add.at(self._num_spurious, predicted_categories[is_spurious], 1)
        for t, p in np.argwhere(overlaps_TP & ~is_same_TP).tolist():
            self._add_confused(
                (int(truth_categories[t]), int(predicted_categories[p])),
                (1, int(is_spurious[p]), float(iou_TP[t, p])),
            )

    def _add_confused(self, categories: tuple[int, int], totals: tuple[int, int, float]) -> None:
        missed, spurious, iou = self._confused.get(categories, (0, 0, 0.0))
        self._confused[categories] = (missed + totals[0], spurious + totals[1], iou + totals[2])


def _nan_where_zero(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64]
) -> NDArray[np.float64]:
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
