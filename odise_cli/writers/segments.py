"""One line a segment: everything about it, for `jq`, data frames and search indices.

Knows the format; does not know where files lie.
"""

from collections.abc import Sequence
from typing import Any

from odise_cli.structures import Category, ImageRecord, Segment
from odise_cli.writers.regions import Regions


def segment_lines(
    record: ImageRecord,
    segments: Sequence[Segment],
    regions: Regions,
    categories: Sequence[Category],
) -> list[dict[str, Any]]:
    """The lines of one image, in order of segment id."""
    return [
        {
            "image": record.name,
            "image_id": record.image_id,
            "segment_id": segment.id,
            "category": categories[segment.category].name,
            "category_id": categories[segment.category].id,
            "isthing": int(categories[segment.category].isthing),
            "score": segment.score,
            "alternatives": [
                {
                    "category": categories[category].name,
                    "category_id": categories[category].id,
                    "probability": probability,
                }
                for category, probability in segment.alternatives
            ],
            "area": int(regions.areas[index]),
            "bbox": regions.boxes_xywh[index].tolist(),
            "segmentation": regions.rle(index),
        }
        for index, segment in enumerate(segments)
    ]
