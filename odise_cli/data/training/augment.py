"""Training images of one size: flip, large-scale jitter, crop, in this order; masks follow exactly.

A `View` says where in the image the crop lies; drawing one and looking through it are apart, so
that everything random is in one place. Knows pixels; does not know epochs or files.

Source: Ghiasi et al., "Simple Copy-Paste", CVPR 2021, section 3 (large-scale jitter); the scale is
relative to the image fitted into the crop, as Mask2Former has it: at 1 the whole image just fits.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.data.training.samples import TrainingSample

MIN_SCALE: Final = 0.1
MAX_SCALE: Final = 2.0
PADDING_GREY: Final = 128
"""All three channels where a crop has no image."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A crop of a flipped, then resized image; sizes and places are (height, width), pixels."""

    is_flipped: bool
    """Left and right change places before anything else."""
    resized: tuple[int, int]
    """The whole image's size when the crop is taken."""
    top_left: tuple[int, int]
    """Of the crop in the resized image."""
    crop: tuple[int, int]
    """The crop's size; right of and below the image it is padded."""


def fitted_view(size: tuple[int, int], crop: tuple[int, int]) -> View:
    """The whole image as large as it fits into the crop: no augmentation.

    Args:
        size: (height, width) of the image.
        crop: (height, width) of the crop.
    """
    resized = _resized(size, crop, scale=1.0)
    return View(is_flipped=False, resized=resized, top_left=(0, 0), crop=crop)


def draw_view(
    size: tuple[int, int],
    crop: tuple[int, int],
    rng: np.random.Generator,
    *,
    min_scale: float = MIN_SCALE,
    max_scale: float = MAX_SCALE,
) -> View:
    """A random view: flipped or not, at a scale, at a place where the crop is as full as can be.

    Args:
        size: (height, width) of the image.
        crop: (height, width) of the crop.
        rng: decides flip, scale and place.
        min_scale: smallest scale; all up to `max_scale` are equally likely.
        max_scale: largest scale; at 1 the image just fits into the crop.
    """
    is_flipped = bool(rng.random() < 0.5)
    resized = _resized(size, crop, scale=rng.uniform(min_scale, max_scale))
    spare = [max(0, side - wanted) for side, wanted in zip(resized, crop, strict=True)]
    top, left = (int(rng.integers(side + 1)) for side in spare)
    return View(is_flipped=is_flipped, resized=resized, top_left=(top, left), crop=crop)


def look_through(sample: TrainingSample, view: View) -> TrainingSample:
    """The sample as the crop shows it; masks that vanish are left out with their category.

    The image is resized bilinearly (antialiased when shrinking). A mask has a pixel where the
    nearest pixel of the original has it, rounded as Pillow does.
    """
    numbers_HW = _seen(_mask_numbers(sample.masks), view)
    counts = np.bincount(numbers_HW.ravel(), minlength=len(sample.masks) + 1)
    kept = np.flatnonzero(counts[1:])
    return replace(
        sample,
        image=_resized_crop(sample.image, view),
        masks=numbers_HW == (kept + 1).astype(np.uint16)[:, None, None],
        category_index=sample.category_index[kept],
    )


def _resized(size: tuple[int, int], crop: tuple[int, int], *, scale: float) -> tuple[int, int]:
    ratio = min(wanted * scale / side for wanted, side in zip(crop, size, strict=True))
    height, width = (max(1, int(side * ratio + 0.5)) for side in size)
    return height, width


def _mask_numbers(masks_NHW: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """[H, W] number of each pixel's mask from 1, 0 where there is none: one map, not N masks."""
    numbers_HW = np.zeros(masks_NHW.shape[1:], np.uint16)
    for number, mask_HW in enumerate(masks_NHW, start=1):
        numbers_HW[mask_HW] = number
    return numbers_HW


def _seen(map_HW: NDArray[np.uint16], view: View) -> NDArray[np.uint16]:
    """The crop of a map of numbers, which are never mixed; 0 where there is no image."""
    seen_HW = np.zeros(view.crop, np.uint16)
    rows, columns = (
        _nearest(side, resized, first, wanted)
        for side, resized, first, wanted in zip(
            map_HW.shape, view.resized, view.top_left, view.crop, strict=True
        )
    )
    if view.is_flipped:
        columns = map_HW.shape[1] - 1 - columns
    seen_HW[: len(rows), : len(columns)] = map_HW.take(rows, axis=0).take(columns, axis=1)
    return seen_HW


def _nearest(side: int, resized: int, first: int, wanted: int) -> NDArray[np.int64]:
    """The original pixel under the centre of each resized one, `wanted` of them from `first`."""
    places = np.arange(first, min(first + wanted, resized), dtype=np.int64)
    # floor((place + 1/2) · side / resized), in integers: no rounding decides about a pixel.
    return (2 * places + 1) * side // (2 * resized)


def _resized_crop(image_HW3: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    image = Image.fromarray(image_HW3[:, ::-1] if view.is_flipped else image_HW3)
    height, width = view.resized
    top, left = view.top_left
    bottom, right = (
        min(first + wanted, side)
        for first, wanted, side in zip(view.top_left, view.crop, view.resized, strict=True)
    )
    shown = image.resize((width, height), Image.Resampling.BILINEAR).crop(
        (left, top, right, bottom)
    )
    crop_HW3 = np.full((*view.crop, 3), PADDING_GREY, np.uint8)
    crop_HW3[: bottom - top, : right - left] = np.asarray(shown)
    return crop_HW3
