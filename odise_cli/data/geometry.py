"""Sizes of an image at the model's input: resized, then padded; label maps at other sizes.

Knows numbers only. Sizes are (height, width).
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Value = TypeVar("_Value", bound=np.generic)


def resized_size(size: tuple[int, int], *, short_side: int, long_side: int) -> tuple[int, int]:
    """Size after the test-time resize, which keeps the aspect ratio.

    The shorter side becomes `short_side`, unless the longer one would then exceed `long_side`;
    in that case the longer side becomes `long_side`. Sides are rounded half up and at least 1.
    The two scalings are applied one after the other, as the reference implementation does:
    a single, combined factor rounds a few sizes to the other side of a half.
    """
    shortest = min(size)
    scale = short_side / shortest
    sides = [float(short_side) if side == shortest else scale * side for side in size]
    if max(sides) > long_side:
        shrink = long_side / max(sides)
        sides = [side * shrink for side in sides]
    height, width = (max(1, int(side + 0.5)) for side in sides)
    return height, width


def fitted_size(size: tuple[int, int], canvases: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The largest size of the same proportions, at most `size`, that one of the canvases holds.

    Args:
        size: what is wanted.
        canvases: what there is; none is any.
    """
    shrink = max((min(h / size[0], w / size[1]) for h, w in canvases), default=1.0)
    if shrink >= 1.0:
        return size
    # Cut, not rounded: the side that decides comes out as the canvas's, or a pixel less.
    height, width = (max(1, int(side * shrink)) for side in size)
    return height, width


def padded_size(size: tuple[int, int], multiple: int = 64) -> tuple[int, int]:
    """The smallest size that holds `size` and whose sides are multiples of `multiple`."""
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def shrunk_size(size: tuple[int, int], max_short_side: int) -> tuple[int, int]:
    """The size whose shorter side is at most `max_short_side`, the longer one rounded to even.

    Source: the preparation of ADE20K's 847-category benchmark (MaskFormer).
    """
    height, width = size
    if min(size) <= max_short_side:
        return size
    if width >= height:
        return max_short_side, round(width / height * max_short_side)
    return round(height / width * max_short_side), max_short_side


def nearest(map_HW: NDArray[_Value], size: tuple[int, int]) -> NDArray[_Value]:
    """A label map (or one of channels, [H, W, C]) at another size; no value is made up.

    Source: OpenCV's `INTER_NEAREST`, which takes the pixel at or before the place, not the
    closest to it; published label maps were made with it.
    """
    if map_HW.shape[:2] == size:
        return map_HW
    rows, columns = (
        np.minimum(np.floor(np.arange(new) * (1 / (new / old))).astype(np.int64), old - 1)
        for new, old in zip(size, map_HW.shape[:2], strict=True)
    )
    resized_HW: NDArray[_Value] = map_HW[rows[:, None], columns]
    return resized_HW


def bilinear(pixels_HW3: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """An image at another size, each pixel mixed of four, however many it stands for.

    Source: OpenCV's `INTER_LINEAR`, to its rounding; published images were shrunk with it.
    """
    height, width = pixels_HW3.shape[:2]
    above, below, share_H = _neighbours(size[0], height)
    left, right, share_W = _neighbours(size[1], width)
    rows_HW3 = _mixed(pixels_HW3[above], pixels_HW3[below], share_H[:, None, None])
    mixed_HW3 = _mixed(rows_HW3[:, left], rows_HW3[:, right], share_W[:, None])
    return (mixed_HW3 + 0.5).astype(np.uint8)


def _neighbours(
    new: int, old: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The places between which the centre of each new pixel lies, and the second one's share."""
    centres = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = centres.astype(np.int64)
    return first, np.minimum(first + 1, old - 1), (centres - first).astype(np.float32)


def _mixed(
    first: NDArray[Any], second: NDArray[Any], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    mixed: NDArray[Any] = first * (1 - share) + second * share
    return mixed
