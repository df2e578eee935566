"""Mean IoU and its kin, from one confusion matrix over all images.

Knows semantic maps; does not know files or category names. The matrix is kept as its filled
cells, so that thousands of categories cost no more than what occurs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odise_cli.evaluation.pixel_pairs import count_pixel_pairs
from odise_cli.structures import VOID_CATEGORY, LabelRuns

_CATEGORY_BITS = 16


@dataclass(frozen=True, kw_only=True)
class ConfusedPixels:
    """Pixels that were named wrongly, by C pairs of categories, in their order."""

    true: NDArray[np.int64]
    """[C] category index of the pixels in truth."""
    predicted: NDArray[np.int64]
    """[C] category index in the prediction, 65535 where it is void."""
    counts: NDArray[np.int64]
    """[C] pixels, from 1."""


@dataclass(frozen=True, kw_only=True)
class SemanticScores:
    """Pixel counts of K categories and what follows; pixels that are void in truth are out."""

    num_correct: NDArray[np.int64]
    """[K] pixels of the category that were predicted as such."""
    num_true: NDArray[np.int64]
    """[K] pixels of the category; what was predicted void among them is missed."""
    num_predicted: NDArray[np.int64]
    """[K] pixels predicted as the category."""
    confused: ConfusedPixels
    """The filled cells off the diagonal of the confusion matrix."""

    @property
    def has_truth(self) -> NDArray[np.bool_]:
        """[K] whether the category has a pixel in the ground truth; others count nowhere."""
        return self.num_true > 0

    @property
    def iou(self) -> NDArray[np.float64]:
        """[K] intersection over union, 0..1; NaN without ground truth."""
        return self._share(self.num_true + self.num_predicted - self.num_correct)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """[K] share of the category's pixels that were found, 0..1; NaN without any."""
        return self._share(self.num_true)

    def mean_iou(self, is_wanted: NDArray[np.bool_]) -> float:
        """Mean IoU of those of the wanted categories that have ground truth; NaN over none."""
        return _mean(self.iou[is_wanted & self.has_truth])

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy of the categories that have ground truth."""
        return _mean(self.accuracy[self.has_truth])

    @property
    def pixel_accuracy(self) -> float:
        """Share of all pixels that were named right."""
        total = int(self.num_true.sum())
        return int(self.num_correct.sum()) / total if total else np.nan

    @property
    def frequency_weighted_iou(self) -> float:
        """IoU of the categories, weighted by their share of the true pixels."""
        chosen = self.has_truth
        if not chosen.any():
            return np.nan
        return float(np.average(self.iou[chosen], weights=self.num_true[chosen]))

    def _share(self, denominator: NDArray[np.int64]) -> NDArray[np.float64]:
        share = np.full(len(denominator), np.nan)
        np.divide(self.num_correct, denominator, out=share, where=self.has_truth)
        return share


class MeanIoU:
    """Accumulates a confusion matrix of K categories, an image at a time."""

    def __init__(self, num_categories: int) -> None:
        assert num_categories <= VOID_CATEGORY
        self._num_categories = num_categories
        self._cells = np.zeros(0, np.int64)
        """Filled cells, ascending: true category · 2^16 + predicted category."""
        self._counts = np.zeros(0, np.int64)

    def update(self, truth: LabelRuns, predicted: LabelRuns) -> None:
        """Add one image.

        Args:
            truth: true category index of each pixel, 65535 void.
            predicted: predicted category index of each pixel, 65535 void.
        """
        pairs = count_pixel_pairs(truth, predicted)
        is_labelled = pairs.first != VOID_CATEGORY
        self._add(
            (pairs.first[is_labelled] << _CATEGORY_BITS) | pairs.second[is_labelled],
            pairs.counts[is_labelled],
        )

    def merge(self, other: "MeanIoU") -> None:
        """Add the images that another accumulator of the same categories has seen."""
        self._add(other._cells, other._counts)

    def compute(self) -> SemanticScores:
        """The scores of the images so far."""
        true = self._cells >> _CATEGORY_BITS
        predicted = self._cells & ((1 << _CATEGORY_BITS) - 1)
        is_named = predicted != VOID_CATEGORY
        is_correct = true == predicted
        return SemanticScores(
            num_correct=self._summed(true[is_correct], self._counts[is_correct]),
            num_true=self._summed(true, self._counts),
            num_predicted=self._summed(predicted[is_named], self._counts[is_named]),
            confused=ConfusedPixels(
                true=true[~is_correct],
                predicted=predicted[~is_correct],
                counts=self._counts[~is_correct],
            ),
        )

    def _add(self, cells: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        merged, places = np.unique(np.concatenate([self._cells, cells]), return_inverse=True)
        sums = np.zeros(len(merged), np.int64)
        np.add.at(sums, places, np.concatenate([self._counts, counts]))
        self._cells, self._counts = merged, sums

    def _summed(
        self, categories: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """[K] counts by category, as integers: floats lose pixels beyond 2^53."""
        sums = np.zeros(self._num_categories, np.int64)
        np.add.at(sums, categories, counts)
        return sums


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else np.nan
