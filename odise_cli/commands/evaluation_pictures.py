"""One image to look at: the photograph, its ground truth and its prediction, small.

Knows labels and photographs; does not know which images are worth a look.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.data.decode import decode_image
from odise_cli.errors import ImageError
from odise_cli.reports.page import Pictures
from odise_cli.structures import VOID_CATEGORY, Category, ImageRecord, Labels, Region, Segment
from odise_cli.writers.overlay import draw_overlay

_LONG_SIDE_PX = 560
_MAX_JPEG_BYTES = 90_000
"""Of one picture: a page of twelve images stays below 5 MB."""
_JPEG_QUALITIES = (85, 70, 50, 25, 10)
_GREY = 128


def draw_pictures(
    photos: Sequence[Path], truth: Labels, predicted: Labels, categories: Sequence[Category]
) -> Pictures:
    """The three pictures of an image.

    Args:
        photos: where the photograph may be; the first that can be read is taken.
        truth: panoptic where both have a panoptic map, else semantic.
        predicted: likewise.
        categories: the vocabulary of both.
    """
    assert truth.size is not None
    photo_HW3 = _read_photo(photos)
    size = truth.size if photo_HW3 is None else photo_HW3.shape[:2]
    scale = min(1.0, _LONG_SIDE_PX / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    if photo_HW3 is None:
        small_HW3 = np.full((height, width, 3), _GREY, np.uint8)
    else:
        small = Image.fromarray(photo_HW3).resize((width, height), Image.Resampling.LANCZOS)
        small_HW3 = np.asarray(small)
    has_panoptic = truth.panoptic is not None and predicted.panoptic is not None
    overlays = []
    for labels in (truth, predicted):
        regions_HW, regions = _regions(labels, is_panoptic=has_panoptic)
        overlays.append(_overlay(small_HW3, regions_HW, regions, categories))
    return Pictures(
        photo=None if photo_HW3 is None else _jpeg(Image.fromarray(small_HW3)),
        truth=overlays[0],
        predicted=overlays[1],
    )


def _read_photo(photos: Sequence[Path]) -> NDArray[np.uint8] | None:
    for path in photos:
        record = ImageRecord(path=path, name=path.name, stem=path.stem, image_id=0)
        try:
            return decode_image(record, short_side=1, long_side=1).pixels_HW3
        except ImageError:
            continue
    return None


def _regions(labels: Labels, *, is_panoptic: bool) -> tuple[NDArray[np.int32], Sequence[Region]]:
    """The [H, W] region id of each pixel, 0 void, and the regions: categories, if not panoptic."""
    if is_panoptic:
        assert labels.panoptic is not None
        return labels.panoptic.to_map(), labels.regions
    assert labels.semantic is not None
    semantic_HW = labels.semantic.to_map()
    ids_HW = semantic_HW.astype(np.int32) + 1
    ids_HW[semantic_HW == VOID_CATEGORY] = 0
    ids = np.unique(ids_HW[ids_HW > 0]).tolist()
    return ids_HW, [Region(id=id_, category=id_ - 1) for id_ in ids]


def _overlay(
    small_HW3: NDArray[np.uint8],
    regions_HW: NDArray[np.int32],
    regions: Sequence[Region],
    categories: Sequence[Category],
) -> bytes:
    height, width = small_HW3.shape[:2]
    # The nearest pixel's, as ids cannot be mixed; a region may be too thin to remain.
    rows = ((np.arange(height) + 0.5) * regions_HW.shape[0] / height).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * regions_HW.shape[1] / width).astype(np.int64)
    small_HW = regions_HW[rows[:, None], columns]
    # Numbered anew: ids of three bytes would cost a table of their range.
    present = np.unique(small_HW[small_HW > 0])
    ranks_HW = np.where(small_HW > 0, np.searchsorted(present, small_HW) + 1, 0).astype(np.int32)
    category_of_id = {region.id: region.category for region in regions}
    segments = [
        Segment(id=rank, category=category_of_id[id_], score=1.0, alternatives=())
        for rank, id_ in enumerate(present.tolist(), start=1)
    ]
    return _jpeg(draw_overlay(small_HW3, ranks_HW, segments, categories))


def _jpeg(image: Image.Image) -> bytes:
    """The best quality that does not exceed the size of a picture."""
    for quality in _JPEG_QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 50 else 2)
        if buffer.tell() <= _MAX_JPEG_BYTES:
            break
    return buffer.getvalue()
