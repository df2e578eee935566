"""Everything that is written of one image, as bytes: it can travel, and anybody can write it.

Knows the formats; does not know where files lie.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from odise_cli.structures import Category, ImageRecord, ImageResult
from odise_cli.writers.instances import instance_results
from odise_cli.writers.layout import IMAGE_FILES
from odise_cli.writers.manifest import json_line
from odise_cli.writers.overlay import encode_overlay_jpeg
from odise_cli.writers.panoptic import encode_panoptic_png, panoptic_annotation
from odise_cli.writers.regions import panoptic_to_regions
from odise_cli.writers.segments import segment_lines
from odise_cli.writers.semantic import encode_semantic_png


@dataclass(frozen=True, kw_only=True)
class EncodedImage:
    """One image's result, ready to be written."""

    record: ImageRecord
    size: tuple[int, int]
    """(height, width) of the original image."""
    num_segments: int
    stage_ms: dict[str, float]
    """This image's share of each stage but writing."""
    encode_ms: float
    journal_line: bytes
    """What the collected files will say of the image."""
    files: dict[str, bytes]
    """By output: the content of the image's own files."""


def encode_image(
    result: ImageResult, *, outputs: Sequence[str], categories: Sequence[Category]
) -> EncodedImage:
    """A result in the formats that are asked for.

    Raises:
        ImageError: the image fits none of them.
    """
    started = time.perf_counter()
    line = json_line(_journal_entry(result, outputs, categories))
    files = {
        output: _encoded(output, result, categories) for output in outputs if output in IMAGE_FILES
    }
    return EncodedImage(
        record=result.image.record,
        size=result.segmentation.size,
        num_segments=len(result.segmentation.segments),
        stage_ms=result.stage_ms,
        encode_ms=(time.perf_counter() - started) * 1000,
        journal_line=line,
        files=files,
    )


def _journal_entry(
    result: ImageResult, outputs: Sequence[str], categories: Sequence[Category]
) -> dict[str, Any]:
    record, segmentation = result.image.record, result.segmentation
    entry: dict[str, Any] = {"name": record.name, "stem": record.stem}
    if "panoptic" in outputs or "segments" in outputs:
        regions = panoptic_to_regions(segmentation.panoptic_HW)
        about = (record, segmentation.segments, regions, categories)
        if "panoptic" in outputs:
            entry["panoptic"] = panoptic_annotation(*about)
        if "segments" in outputs:
            entry["segments"] = segment_lines(*about)
    if "instances" in outputs:
        assert segmentation.instances is not None
        entry["instances"] = instance_results(
            segmentation.instances,
            image_id=record.image_id,
            size=segmentation.size,
            categories=categories,
        )
    return entry


def _encoded(output: str, result: ImageResult, categories: Sequence[Category]) -> bytes:
    """One file of one image."""
    if output == "panoptic":
        return encode_panoptic_png(result.segmentation.panoptic_HW)
    if output == "semantic":
        assert result.segmentation.semantic_HW is not None
        return encode_semantic_png(result.segmentation.semantic_HW)
    return encode_overlay_jpeg(result, categories)
