"""Mask average precision where images are judged by some categories only, as LVIS is.

hotcoco does the matching and the sums, an image at a time. Knows masks; does not know files or
category names.

Source: A. Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation", CVPR 2019,
section 3, and the rules of its evaluation (lvis-api):

* an image is judged by the categories that it has, and those that it is known not to have;
  detections of others count nowhere;
* where not all instances of a category are annotated, a detection without a partner is no false
  positive;
* the 300 best detections of an image count, over all categories.
"""

import copy
from collections.abc import Collection, Sequence

import numpy as np
from hotcoco import StreamingEval
from numpy.typing import NDArray

from odise_cli.evaluation.average_precision import PrecisionScores
from odise_cli.evaluation.coco_entries import detection_entries, truth_entries
from odise_cli.structures import InstanceMask

_AREAS = ("all", "small", "medium", "large")
_IOU_50, _IOU_75 = 0, 5


class FederatedPrecision:
    """Accumulates matches of K categories, an image at a time."""

    def __init__(self, num_categories: int) -> None:
        # Frequencies are the caller's to average over; hotcoco wants some.
        categories = [{"id": k, "name": str(k), "frequency": "f"} for k in range(num_categories)]
        self._num_categories = num_categories
        self._matches = StreamingEval(categories, iou_type="segm", lvis_style=True)
        self._num_images = 0

    def update(
        self,
        image: int,
        truth: Sequence[InstanceMask],
        predicted: Sequence[InstanceMask],
        *,
        absent: Collection[int],
        incomplete: Collection[int],
    ) -> None:
        """Add one image.

        Args:
            image: a number that no other image has; of detections with equal scores those of
                lower images come first.
            truth: the true instances.
            predicted: the scored instances.
            absent: categories that the image is known not to have.
            incomplete: categories of which not every instance is among `truth`.
        """
        entry = {
            "id": image,
            "neg_category_ids": sorted(absent),
            "not_exhaustive_category_ids": sorted(incomplete),
        }
        self._matches.update(
            [entry], truth_entries(truth, image), detection_entries(predicted, image)
        )
        self._num_images += 1

    def merge(self, other: "FederatedPrecision") -> None:
        """Add the images that another accumulator has seen; none of them may be here too."""
        self._matches = StreamingEval.merge([self._matches, other._matches])
        self._num_images += other._num_images

    def compute(self) -> PrecisionScores:
        """The scores of the images so far."""
        # [T, R, K, A] of the ten IoU thresholds, recall levels, categories and areas.
        precision_TRKA = np.full((10, 101, self._num_categories, len(_AREAS)), -1.0)
        if self._num_images:
            evaluator = copy.deepcopy(self._matches).finalize()
            evaluator.accumulate()
            assert evaluator.eval is not None
            precision_TRKA = evaluator.eval["precision"][..., 0]
        by_area = [_by_category(precision_TRKA[..., area]) for area in range(len(_AREAS))]
        return PrecisionScores(
            ap=by_area[0],
            ap50=_by_category(precision_TRKA[_IOU_50 : _IOU_50 + 1, ..., 0]),
            ap75=_by_category(precision_TRKA[_IOU_75 : _IOU_75 + 1, ..., 0]),
            ap_small=by_area[1],
            ap_medium=by_area[2],
            ap_large=by_area[3],
        )


def _by_category(precision_TRK: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] mean over thresholds and recall levels; -1 stands for no ground truth."""
    return np.where(precision_TRK[0, 0] < 0, np.nan, precision_TRK.mean(axis=(0, 1)))
