"""Mask average precision, an image at a time.

hotcoco matches the masks of each image as it comes and accumulates at the end, so that no mask is
kept: pycocotools' figures, bit by bit (the tests compare them), many times faster. Knows masks;
does not know files or category names.

Source: https://cocodataset.org/#detection-eval, "segm", at most 100 detections of an image and
category.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from hotcoco import StreamingEval
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from odise_cli.evaluation.coco_entries import detection_entries, truth_entries
from odise_cli.structures import InstanceMask, LabelRuns, Labels, places_of_ids

_AREAS: Final = ("all", "small", "medium", "large")
_IOU_50, _IOU_75 = 0, 5


@dataclass(frozen=True, kw_only=True)
class PrecisionScores:
    """Average precision of K categories, 0..1; NaN where there is no ground truth."""

    ap: NDArray[np.float64]
    """[K] averaged over IoU 0.50, 0.55 … 0.95."""
    ap50: NDArray[np.float64]
    ap75: NDArray[np.float64]
    ap_small: NDArray[np.float64]
    """[K] of instances of less than 32² pixels."""
    ap_medium: NDArray[np.float64]
    ap_large: NDArray[np.float64]
    """[K] of instances of at least 96² pixels."""

    @property
    def has_truth(self) -> NDArray[np.bool_]:
        """[K] whether the ground truth has an instance (crowds aside) of the category."""
        return ~np.isnan(self.ap)


class AveragePrecision:
    """Accumulates matches of K categories of things, an image at a time."""

    def __init__(self, is_thing: NDArray[np.bool_]) -> None:
        """Judge the categories that are things; instances of others count nowhere."""
        self._is_thing = is_thing
        things = np.flatnonzero(is_thing).tolist()
        self._matches = StreamingEval([{"id": k, "name": str(k)} for k in things], "segm")

    def update(
        self, image: int, truth: Sequence[InstanceMask], predicted: Sequence[InstanceMask]
    ) -> None:
        """Add one image.

        Args:
            image: a number that no other image has; of detections with equal scores those of
                lower images come first.
            truth: the true instances.
            predicted: the scored instances.
        """
        self._matches.update(
            [{"id": image}],
            truth_entries(self._things(truth), image),
            detection_entries(self._things(predicted), image),
        )

    def merge(self, other: "AveragePrecision") -> None:
        """Add the images that another accumulator has seen; none of them may be here too."""
        self._matches = StreamingEval.merge([self._matches, other._matches])

    def compute(self) -> PrecisionScores:
        """The scores of the images so far."""
        # What is finalised takes no further images.
        evaluator = copy(self._matches).finalize()
        evaluator.accumulate()
        assert evaluator.eval is not None
        # [T, R, K, A] of the ten IoU thresholds, recall levels, things and areas; at most 100
        # detections is the last of the limits.
        precision_TRKA = evaluator.eval["precision"][..., -1]
        by_area = [self._by_category(precision_TRKA[..., area]) for area in range(len(_AREAS))]
        return PrecisionScores(
            ap=by_area[0],
            ap50=self._by_category(precision_TRKA[_IOU_50 : _IOU_50 + 1, ..., 0]),
            ap75=self._by_category(precision_TRKA[_IOU_75 : _IOU_75 + 1, ..., 0]),
            ap_small=by_area[1],
            ap_medium=by_area[2],
            ap_large=by_area[3],
        )

    def _things(self, masks: Sequence[InstanceMask]) -> list[InstanceMask]:
        return [mask for mask in masks if self._is_thing[mask.category]]

    def _by_category(self, precision_TRK: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K] mean over thresholds and recall levels; the protocol says -1 without truth."""
        means = precision_TRK.mean(axis=(0, 1))
        means[precision_TRK[0, 0] < 0] = np.nan
        by_category = np.full(len(self._is_thing), np.nan)
        by_category[self._is_thing] = means
        return by_category


def mean_precision(values: NDArray[np.float64]) -> float:
    """The mean of those categories that have ground truth; NaN over none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


def thing_instances(labels: Labels, is_thing: NDArray[np.bool_]) -> tuple[InstanceMask, ...]:
    """The instances that a panoptic map shows: its regions of things, which never overlap."""
    assert labels.panoptic is not None
    places = places_of_ids(labels.panoptic.values, labels.regions)
    small = places.astype(np.min_scalar_type(len(labels.regions)))
    # COCO's masks go down the columns.
    columns = LabelRuns.of_map(replace(labels.panoptic, values=small).to_map().T)
    ends = columns.starts + columns.lengths
    instances = []
    for place, region in enumerate(labels.regions, start=1):
        if is_thing[region.category]:
            is_inside = columns.values == place
            rle = _rle(columns.starts[is_inside], ends[is_inside], labels.panoptic.size)
            instances.append(
                InstanceMask(category=region.category, rle=rle, iscrowd=region.iscrowd)
            )
    return tuple(instances)


def _rle(
    starts: NDArray[np.int64], ends: NDArray[np.int64], size: tuple[int, int]
) -> dict[str, Any]:
    """Compressed RLE of runs that do not touch, counted down the columns."""
    height, width = size
    counts = np.diff(np.stack([starts, ends], axis=1).ravel(), prepend=0, append=height * width)
    # Nothing follows a run that ends with the image.
    counts = counts[: len(counts) - (counts[-1] == 0)]
    rle: dict[str, Any] = coco_mask.frPyObjects(
        {"size": [height, width], "counts": counts.tolist()}, height, width
    )
    return rle
