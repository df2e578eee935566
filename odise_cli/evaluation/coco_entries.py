"""Instances as the entries of COCO's files, which evaluators outside of this package take."""

from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from odise_cli.structures import InstanceMask


def truth_entries(masks: Sequence[InstanceMask], image: int) -> list[dict[str, Any]]:
    """True instances of an image as annotations; category ids are category indices."""
    return [
        {
            # Ids count from 1: a match with 0 would be taken for none.
            "id": number,
            "image_id": image,
            "category_id": mask.category,
            "segmentation": mask.rle,
            "area": float(coco_mask.area(mask.rle)) if mask.area_px is None else mask.area_px,
            "iscrowd": int(mask.iscrowd),
        }
        for number, mask in enumerate(masks, start=1)
    ]


def detection_entries(masks: Sequence[InstanceMask], image: int) -> list[dict[str, Any]]:
    """Scored instances of an image as results; without boxes, whose areas would be taken."""
    return [
        {
            "image_id": image,
            "category_id": mask.category,
            "segmentation": mask.rle,
            "score": mask.score,
        }
        for mask in masks
    ]
