"""The picture to look at: the image with its segments coloured, outlined and named.

Knows pixels and colours; does not know where files lie. Every picture of the same result is
the same: colours come from the vocabulary, positions from the map.
"""

import colorsys
import io
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from odise_cli.errors import ImageError
from odise_cli.structures import Category, ImageResult, Segment

MAX_JPEG_SIDE_PX = 65_500
"""The JPEG encoder's own limit."""

_MASK_WEIGHT = 0.5
"""Share of the colour inside a segment; the rest is the image."""
_OUTLINE_WEIGHT = 0.6
"""Share of the colour in an outline; the rest is white."""
_OUTLINE_SHARE = 0.0032
"""Thickness of an outline by the geometric mean of the sides."""
_BLOCK_PX = 1 << 18
"""Pixels blended at a time, so that intermediate values stay in the processor's cache."""

_FONT_SHARE = 0.03
"""Height of a name by the geometric mean of the sides."""
_LEAST_FONT_PX = 9
_LEAST_FONT_SCALE = 0.55
"""A name that must shrink further to fit its segment is left out."""
_PLACING_SIDE_PX = 512
"""Longest side of the small map in which places for names are sought."""
_NAME_ASPECT = 3.0
"""How much wider than high the free room around a name should be."""
_MAY_OVERHANG = 1.35
"""A name may leave the free ellipse by so much: most segments are roomier than it says."""


def encode_overlay_jpeg(result: ImageResult, categories: Sequence[Category]) -> bytes:
    """The overlay of one image at its own size.

    Raises:
        ImageError: the image is larger than a JPEG can be.
    """
    height, width = result.image.size
    if max(height, width) > MAX_JPEG_SIDE_PX:
        raise ImageError(
            f"{result.image.record.path}: is {width}×{height} px. Overlays are JPEGs of "
            f"at most {MAX_JPEG_SIDE_PX} px. Leave overlay out of --write, or scale the image."
        )
    segmentation = result.segmentation
    image = draw_overlay(
        result.image.pixels_HW3, segmentation.panoptic_HW, segmentation.segments, categories
    )
    buffer = io.BytesIO()
    # Without subsampling: outlines are thin and coloured.
    image.save(buffer, "JPEG", quality=90, subsampling=0)
    return buffer.getvalue()


def draw_overlay(
    pixels_HW3: NDArray[np.uint8],
    panoptic_HW: NDArray[np.int32],
    segments: Sequence[Segment],
    categories: Sequence[Category],
) -> Image.Image:
    """The picture before it is compressed.

    Args:
        pixels_HW3: [H, W, 3] the image, RGB.
        panoptic_HW: [H, W] segment id of each pixel, 0 void.
        segments: in order of id.
        categories: the vocabulary.
    """
    ranks_HW = _ids_to_ranks(panoptic_HW, segments)
    colors = np.array([(0, 0, 0), *segment_colors(segments, categories)], np.uint16)
    mean_side_px = math.sqrt(panoptic_HW.size)
    outline_HW = _outline(ranks_HW, thickness_px=max(1, round(mean_side_px * _OUTLINE_SHARE)))
    image = Image.fromarray(_blend(pixels_HW3, ranks_HW, colors, outline_HW))
    # A name from a JSON file may hold line breaks.
    names = [" ".join(categories[segment.category].name.split()) for segment in segments]
    _draw_names(image, ranks_HW, names, base_px=max(_LEAST_FONT_PX, mean_side_px * _FONT_SHARE))
    return image


def segment_colors(
    segments: Sequence[Segment], categories: Sequence[Category]
) -> list[tuple[int, int, int]]:
    """RGB 0..255 of each segment: its category's, varied from one thing to the next."""
    num_before: dict[int, int] = {}
    colors = []
    for segment in segments:
        category = categories[segment.category]
        number = num_before.get(segment.category, 0)
        num_before[segment.category] = number + 1
        colors.append(_varied(category.color, number) if category.isthing else category.color)
    return colors


def _varied(color: tuple[int, int, int], number: int) -> tuple[int, int, int]:
    """The colour of the `number`-th instance; multiples of the golden ratio never repeat."""
    if number == 0:
        return color
    offset = number * 0.618034 % 1.0 - 0.5
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    lightness = min(max(lightness + 0.34 * offset, 0.18), 0.85)
    red, green, blue = colorsys.hls_to_rgb((hue + 0.12 * offset) % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _ids_to_ranks(
    panoptic_HW: NDArray[np.int32], segments: Sequence[Segment]
) -> NDArray[np.integer]:
    """Positions in `segments`, from 1, in place of ids."""
    dtype = np.uint16 if len(segments) < 1 << 16 else np.int32
    rank_of_id = np.zeros(max((segment.id for segment in segments), default=0) + 1, dtype)
    for rank, segment in enumerate(segments, start=1):
        rank_of_id[segment.id] = rank
    return np.asarray(rank_of_id[panoptic_HW])


def _outline(ranks_HW: NDArray[np.integer], *, thickness_px: int) -> NDArray[np.bool_]:
    """Pixels on both sides of each border between segments, void and the image's edge not."""
    edge_HW = np.zeros(ranks_HW.shape, bool)
    differs = ranks_HW[1:] != ranks_HW[:-1]
    edge_HW[1:] |= differs
    edge_HW[:-1] |= differs
    differs = ranks_HW[:, 1:] != ranks_HW[:, :-1]
    edge_HW[:, 1:] |= differs
    edge_HW[:, :-1] |= differs
    return _dilated(edge_HW, (thickness_px - 1) // 2)


def _dilated(mask_HW: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """The mask grown by a square, by doubling steps: cheap for any radius."""
    for _ in range(2):
        grown = mask_HW
        reached = 0
        while reached < radius_px:
            step = min(reached + 1, radius_px - reached)
            wider = grown.copy()
            wider[step:] |= grown[:-step]
            wider[:-step] |= grown[step:]
            grown, reached = wider, reached + step
        mask_HW = grown.T
    return mask_HW


def _blend(
    pixels_HW3: NDArray[np.uint8],
    ranks_HW: NDArray[np.integer],
    colors: NDArray[np.uint16],
    outline_HW: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """The image under its colours; void keeps the image's.

    Outlines are lighter than the colours, so that neighbours of one category come apart.
    """
    weight = round(256 * _MASK_WEIGHT)
    weights = np.full(len(colors), weight, np.uint16)
    weights[0] = 0
    tints = colors * weights[:, None]
    outline_colors = (colors * _OUTLINE_WEIGHT + 255 * (1 - _OUTLINE_WEIGHT)).astype(np.uint8)
    blended_HW3 = np.empty_like(pixels_HW3)
    rows = max(1, _BLOCK_PX // ranks_HW.shape[1])
    for top in range(0, len(ranks_HW), rows):
        block = slice(top, top + rows)
        ranks = ranks_HW[block]
        mixed = pixels_HW3[block] * (256 - weights[ranks])[:, :, None]
        mixed += tints[ranks]
        mixed >>= 8
        blended = mixed.astype(np.uint8)
        drawn = outline_HW[block] & (ranks > 0)
        blended[drawn] = outline_colors[ranks[drawn]]
        blended_HW3[block] = blended
    return blended_HW3


def _draw_names(
    image: Image.Image, ranks_HW: NDArray[np.integer], names: Sequence[str], *, base_px: float
) -> None:
    """Write each name inside its segment, where the room is widest."""
    if not names:
        return
    draw = ImageDraw.Draw(image, "RGBA")
    step = -(-max(ranks_HW.shape) // _PLACING_SIDE_PX)
    small = ranks_HW[step // 2 :: step, step // 2 :: step]
    room = _room_around(small)
    places = ndimage.maximum_position(room, small, range(1, len(names) + 1))
    taken: list[tuple[int, int, int, int]] = []
    for index in sorted(range(len(names)), key=lambda index: -room[places[index]]):
        y, x = (step // 2 + step * int(position) for position in places[index])
        font_px = _fitting_font_px(names[index], room[places[index]] * step, base_px)
        if font_px is None:
            continue
        plate_xyxy = _plate(names[index], (x, y), font_px, image.size)
        if plate_xyxy is not None and not any(_overlap(plate_xyxy, other) for other in taken):
            taken.append(plate_xyxy)
            _draw_name(draw, names[index], plate_xyxy, font_px)


def _room_around(small: NDArray[np.integer]) -> NDArray[np.float64]:
    """Half the height of the free ellipse, `_NAME_ASPECT` times as wide, around each pixel."""
    inside = np.zeros((small.shape[0] + 2, small.shape[1] + 2), bool)
    core = inside[1:-1, 1:-1]
    core[:] = small > 0
    core[1:] &= small[1:] == small[:-1]
    core[:, 1:] &= small[:, 1:] == small[:, :-1]
    distance = ndimage.distance_transform_edt(inside, sampling=(1.0, 1.0 / _NAME_ASPECT))
    return np.asarray(distance[1:-1, 1:-1])


def _fitting_font_px(name: str, free_px: float, base_px: float) -> int | None:
    """The largest size, up to `base_px`, at which the name fits; None where none does."""
    left, top, right, bottom = _font(round(base_px)).getbbox(name)
    needed = math.hypot((right - left) / _NAME_ASPECT, bottom - top) / 2
    scale = min(1.0, _MAY_OVERHANG * free_px / needed) if needed else 0.0
    font_px = round(base_px * scale)
    if scale < _LEAST_FONT_SCALE or font_px < _LEAST_FONT_PX:
        return None
    return font_px


def _plate(
    name: str, center_xy: tuple[int, int], font_px: int, size_wh: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom (inclusive) of the plate behind a name, moved into the picture."""
    left, top, right, bottom = _font(font_px).getbbox(name)
    plate_w = round(right - left + font_px * 0.7)
    plate_h = round(bottom - top + font_px * 0.44)
    if plate_w > size_wh[0] or plate_h > size_wh[1]:
        return None
    x = min(max(center_xy[0] - plate_w // 2, 0), size_wh[0] - plate_w)
    y = min(max(center_xy[1] - plate_h // 2, 0), size_wh[1] - plate_h)
    return x, y, x + plate_w - 1, y + plate_h - 1


def _overlap(one_xyxy: tuple[int, int, int, int], other_xyxy: tuple[int, int, int, int]) -> bool:
    return (
        one_xyxy[0] <= other_xyxy[2]
        and other_xyxy[0] <= one_xyxy[2]
        and one_xyxy[1] <= other_xyxy[3]
        and other_xyxy[1] <= one_xyxy[3]
    )


def _draw_name(
    draw: ImageDraw.ImageDraw, name: str, plate_xyxy: tuple[int, int, int, int], font_px: int
) -> None:
    """White on a dark rounded plate: legible on any picture."""
    left, top, right, bottom = plate_xyxy
    draw.rounded_rectangle(plate_xyxy, radius=round((bottom - top) * 0.3), fill=(0, 0, 0, 165))
    font = _font(font_px)
    text_left, text_top, text_right, text_bottom = font.getbbox(name)
    x = (left + right + 1 - text_left - text_right) / 2
    y = (top + bottom + 1 - text_top - text_bottom) / 2
    draw.text((x, y), name, fill=(255, 255, 255), font=font)


@lru_cache(maxsize=64)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
