"""COCO detection results: one scored mask per instance.

Knows the format; does not know where files lie.

pycocotools' `loadRes` takes a result that has a `bbox` for a box and sets `area` to the box's:
who wants average precision by mask area removes `bbox` first.

Source: https://cocodataset.org/#format-results, "Instance Segmentation".
"""

from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from odise_cli.structures import Category, Instances
from odise_cli.writers.regions import packed_mask_to_rle


def instance_results(
    instances: Instances,
    *,
    image_id: int,
    size: tuple[int, int],
    categories: Sequence[Category],
) -> list[dict[str, Any]]:
    """The entries of one image, best first; `size` is its (height, width)."""
    results = []
    rle_by_row: dict[int, dict[str, object]] = {}
    for category, score, row in zip(
        instances.categories.tolist(),
        instances.scores.tolist(),
        instances.mask_rows.tolist(),
        strict=True,
    ):
        rle = rle_by_row.get(row) or packed_mask_to_rle(instances.packed_masks[row], size)
        rle_by_row[row] = rle
        results.append(
            {
                "image_id": image_id,
                "category_id": categories[category].id,
                "score": score,
                "bbox": coco_mask.toBbox(rle).tolist(),
                "segmentation": rle,
            }
        )
    return results
