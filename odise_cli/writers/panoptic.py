"""COCO panoptic: a PNG of segment ids for each image, and its annotation.

Knows the format; does not know where files lie.

Source: https://cocodataset.org/#format-results, "Panoptic Segmentation".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import Category, ImageRecord, Segment
from odise_cli.writers.png import encode_png
from odise_cli.writers.regions import Regions

MAX_SEGMENT_ID = 256**3 - 1


def encode_panoptic_png(panoptic_HW: NDArray[np.int32]) -> bytes:
    """The PNG of a panoptic map: id = R + 256 G + 65536 B.

    Args:
        panoptic_HW: [H, W] segment id of each pixel, 0 void, at most `MAX_SEGMENT_ID`.
    """
    assert panoptic_HW.max() <= MAX_SEGMENT_ID
    # A little-endian id is the bytes R, G, B and a zero.
    bytes_HW4 = np.ascontiguousarray(panoptic_HW, "<i4").view(np.uint8)
    return encode_png(bytes_HW4.reshape(*panoptic_HW.shape, 4)[..., :3])


def panoptic_annotation(
    record: ImageRecord,
    segments: Sequence[Segment],
    regions: Regions,
    categories: Sequence[Category],
) -> dict[str, Any]:
    """The entry of `annotations` for one image."""
    return {
        "image_id": record.image_id,
        "file_name": f"{record.stem}.png",
        "segments_info": [
            {
                "id": segment.id,
                "category_id": categories[segment.category].id,
                "isthing": int(categories[segment.category].isthing),
                "iscrowd": 0,
                "area": area,
                "bbox": box_xywh,
                "score": segment.score,
            }
            for segment, area, box_xywh in zip(
                segments, regions.areas.tolist(), regions.boxes_xywh.tolist(), strict=True
            )
        ],
    }


def panoptic_image(name: str, image_id: int, size: tuple[int, int]) -> dict[str, Any]:
    """The entry of `images` for one image."""
    return {"id": image_id, "file_name": name, "width": size[1], "height": size[0]}


def panoptic_categories(categories: Sequence[Category]) -> list[dict[str, Any]]:
    """The list `categories`."""
    return [
        {
            "id": category.id,
            "name": category.name,
            "isthing": int(category.isthing),
            "color": list(category.color),
        }
        for category in categories
    ]
