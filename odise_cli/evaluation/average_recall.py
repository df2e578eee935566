"""Class-agnostic recall of masks: what share of all instances is found, whatever it is called.

hotcoco does the matching and the sums, an image at a time. Knows masks; does not know files.

Source: https://cocodataset.org/#detection-eval, "AR", as pycocotools has it with `useCats` 0:
the 100 best detections of an image, over all categories.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from hotcoco import Params, StreamingEval
from numpy.typing import NDArray

from odise_cli.evaluation.coco_entries import detection_entries, truth_entries
from odise_cli.structures import InstanceMask

MAX_DETECTIONS = 100


@dataclass(frozen=True, kw_only=True)
class RecallScores:
    """AR@100 averaged over IoU 0.50, 0.55 … 0.95, 0..1; NaN where there is no ground truth."""

    ar: float
    ar_small: float
    """Of instances of less than 32² pixels."""
    ar_medium: float
    ar_large: float
    """Of instances of at least 96² pixels."""


class AverageRecall:
    """Accumulates matches, an image at a time."""

    def __init__(self) -> None:
        params = Params("segm")
        params.max_dets = [MAX_DETECTIONS]
        self._matches = StreamingEval([{"id": 0, "name": "object"}], iou_type="segm", params=params)
        self._num_images = 0

    def update(
        self, image: int, truth: Sequence[InstanceMask], predicted: Sequence[InstanceMask]
    ) -> None:
        """Add one image.

        Args:
            image: a number that no other image has.
            truth: the true instances of all categories; what is found of crowds counts nowhere.
            predicted: the scored instances of all categories.
        """
        self._matches.update(
            [{"id": image}],
            truth_entries(_as_objects(truth), image),
            detection_entries(_as_objects(predicted), image),
        )
        self._num_images += 1

    def merge(self, other: "AverageRecall") -> None:
        """Add the images that another accumulator has seen; none of them may be here too."""
        self._matches = StreamingEval.merge([self._matches, other._matches])
        self._num_images += other._num_images

    def compute(self) -> RecallScores:
        """The scores of the images so far."""
        if not self._num_images:
            return RecallScores(
                ar=math.nan, ar_small=math.nan, ar_medium=math.nan, ar_large=math.nan
            )
        evaluator = copy.deepcopy(self._matches).finalize()
        evaluator.accumulate()
        assert evaluator.eval is not None
        # [T, A] of the ten IoU thresholds and the four areas.
        recall_TA: NDArray[np.float64] = evaluator.eval["recall"][:, 0, :, 0]
        ar, small, medium, large = (
            math.nan if of_area[0] < 0 else float(of_area.mean()) for of_area in recall_TA.T
        )
        return RecallScores(ar=ar, ar_small=small, ar_medium=medium, ar_large=large)


def _as_objects(masks: Sequence[InstanceMask]) -> list[InstanceMask]:
    """Masks of one category; of equal scores lower categories come first, as in pycocotools."""
    ordered = sorted(masks, key=lambda mask: mask.category)
    return [replace(mask, category=0) for mask in ordered]
