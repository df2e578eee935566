"""Run lengths of masks, before a library believes them: too few make pycocotools wait for ever.

Source: https://github.com/cocodataset/cocoapi, the format of `counts`: numbers in base 32, six
bits a character, lowest first; from the fourth on, each is the difference from the one before the
last.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.errors import UsageError

_FIRST_CHARACTER = 48
_MORE, _SIGN, _DIGIT = 0x20, 0x10, 0x1F
_DIGIT_BITS = 5
_MAX_DIGITS = 6
"""Of a number of 32 bits, more than which no image has pixels."""


def check_rle(rle: Mapping[str, Any], size: tuple[int, int], *, what: str, advice: str) -> None:
    """Refuse a mask whose runs are not those of an image of this size.

    Args:
        rle: COCO's RLE, compressed or not.
        size: (height, width) that the mask has to have.
        what: the mask, the beginning of the message.
        advice: the end of it.

    Raises:
        UsageError: the size is another, or the runs do not add up to it.
    """
    found = tuple(rle["size"])
    if found != size:
        raise UsageError(
            f"{what} is {found} (height, width), its image is {size}. Expected the same size. "
            f"{advice}"
        )
    counts = rle["counts"]
    runs = np.array(counts, np.int64) if isinstance(counts, list) else _runs(counts)
    num_pixels = size[0] * size[1]
    if runs is None or (runs < 0).any() or int(runs.sum()) != num_pixels:
        total = "no" if runs is None else f"{int(runs.sum()):,}"
        raise UsageError(
            f"{what} has runs of {total} pixels, its image has {num_pixels:,}. Expected a whole "
            f"mask. {advice}"
        )


def _runs(counts: str | bytes) -> NDArray[np.int64] | None:
    """The lengths of the runs of compressed RLE; None where it is none."""
    text = counts.encode("latin1", "replace") if isinstance(counts, str) else counts
    digits = np.frombuffer(text, np.uint8).astype(np.int64) - _FIRST_CHARACTER
    is_last = (digits & _MORE) == 0
    if not len(digits) or not is_last[-1] or digits.min() < 0 or digits.max() > 0x3F:
        return None
    lasts = np.flatnonzero(is_last)
    starts = np.append(0, lasts[:-1] + 1)
    num_digits = lasts - starts + 1
    if num_digits.max() > _MAX_DIGITS + 1:
        return None
    places = np.arange(len(digits)) - np.repeat(starts, num_digits)
    numbers = np.add.reduceat((digits & _DIGIT) << (_DIGIT_BITS * places), starts)
    is_negative = (digits[lasts] & _SIGN) != 0
    numbers = numbers - np.where(is_negative, np.int64(1) << (_DIGIT_BITS * num_digits), 0)
    runs: NDArray[np.int64] = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs
