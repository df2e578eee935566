"""Mask average precision by pycocotools, an image at a time.

pycocotools matches the masks of each image as it comes and accumulates at the end, so that no
mask is kept. Knows masks; does not know files or category names.

Source: https://cocodataset.org/#detection-eval, "segm", at most 100 detections of an image and
category.
"""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odise_cli.structures import InstanceMask, Labels

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
        self._matches: dict[int, dict[tuple[int, int], dict[str, Any]]] = {}
        """By image, then by (category, area range): what pycocotools says of it."""

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
        assert image not in self._matches, image
        categories = sorted({mask.category for mask in (*truth, *predicted)})
        categories = [category for category in categories if self._is_thing[category]]
        self._matches[image] = {}
        if not categories:
            return
        # pycocotools prints what it does.
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = COCOeval(
                _coco(truth, image, categories), _coco(predicted, image, categories), "segm"
            )
            evaluator.params.imgIds = [image]
            evaluator.params.catIds = categories
            evaluator.evaluate()
        results = iter(evaluator.evalImgs)
        for category in categories:
            for area in range(len(_AREAS)):
                result = next(results)
                if result is not None:
                    self._matches[image][category, area] = result

    def merge(self, other: "AveragePrecision") -> None:
        """Add the images that another accumulator has seen; none of them may be here too."""
        assert self._matches.keys().isdisjoint(other._matches)
        self._matches |= other._matches

    def compute(self) -> PrecisionScores:
        """The scores of the images so far."""
        images = sorted(self._matches)
        things = np.flatnonzero(self._is_thing).tolist()
        # [T, R, K, A] of the ten IoU thresholds, recall levels, things and areas.
        precision_TRKA = np.full((10, 101, len(things), len(_AREAS)), -1.0)
        if images and things:
            with contextlib.redirect_stdout(io.StringIO()):
                evaluator = COCOeval(iouType="segm")
                evaluator.params.imgIds, evaluator.params.catIds = images, things
                evaluator.params.maxDets = evaluator.params.maxDets[-1:]
                evaluator.evalImgs = [
                    self._matches[image].get((category, area))
                    for category in things
                    for area in range(len(_AREAS))
                    for image in images
                ]
                evaluator._paramsEval = evaluator.params
                evaluator.accumulate()
            precision_TRKA = evaluator.eval["precision"][..., 0]
        by_area = [self._by_category(precision_TRKA[..., area]) for area in range(len(_AREAS))]
        return PrecisionScores(
            ap=by_area[0],
            ap50=self._by_category(precision_TRKA[_IOU_50 : _IOU_50 + 1, ..., 0]),
            ap75=self._by_category(precision_TRKA[_IOU_75 : _IOU_75 + 1, ..., 0]),
            ap_small=by_area[1],
            ap_medium=by_area[2],
            ap_large=by_area[3],
        )

    def _by_category(self, precision_TRK: NDArray[np.float64]) -> NDArray[np.float64]:
        """[K] mean over thresholds and recall levels; pycocotools says -1 without truth."""
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
    assert labels.panoptic_HW is not None
    columns_first = np.asfortranarray(labels.panoptic_HW)
    return tuple(
        InstanceMask(
            category=region.category,
            rle=coco_mask.encode(np.asfortranarray(columns_first == region.id, np.uint8)),
            iscrowd=region.iscrowd,
        )
        for region in labels.regions
        if is_thing[region.category]
    )


def _coco(masks: Sequence[InstanceMask], image: int, categories: Sequence[int]) -> COCO:
    """Masks as pycocotools holds them, with areas of masks and not of boxes."""
    height, width = masks[0].rle["size"] if masks else (0, 0)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image, "height": height, "width": width}],
        "categories": [{"id": category} for category in categories],
        "annotations": [
            {
                # Ids count from 1: pycocotools takes a match with 0 for none.
                "id": number,
                "image_id": image,
                "category_id": mask.category,
                "segmentation": mask.rle,
                "area": float(coco_mask.area(mask.rle)) if mask.area_px is None else mask.area_px,
                "iscrowd": int(mask.iscrowd),
                "score": mask.score,
            }
            for number, mask in enumerate(masks, start=1)
            if mask.category in categories
        ],
    }
    coco.createIndex()
    return coco
