"""Run lengths of masks, before a library believes them: too few make pycocotools wait for ever.

Source: https://github.com/cocodataset/cocoapi, the format of `counts`: numbers in base 32, six
bits a character, lowest first; from the fourth on, each is the difference from the one before the
last.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.errors import UsageError

_FIRST_CHARACTER = 48
_MORE, _SIGN, _DIGIT = 0x20, 0x10, 0x1F
_DIGIT_BITS = 5
_MAX_CHARACTER = 0x3F
_MAX_DIGITS = 7
"""Of a signed number of 32 bits: no image has more pixels."""


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
    if not are_whole([rle]):
        raise UsageError(
            f"{what} has runs that do not add up to the {size[0] * size[1]:,} pixels of its "
            f"image. Expected a whole mask. {advice}"
        )


def are_whole(rles: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the runs of every mask add up to its own size; all masks in one pass.

    Args:
        rles: COCO's RLE, compressed or not.
    """
    areas = [rle["size"][0] * rle["size"][1] for rle in rles]
    compressed, areas_of_compressed = [], []
    for rle, area in zip(rles, areas, strict=True):
        counts = rle["counts"]
        if isinstance(counts, list):
            if min(counts, default=-1) < 0 or sum(counts) != area:
                return False
            continue
        text = counts.encode("latin1", "replace") if isinstance(counts, str) else counts
        # Ends in the last character of a number.
        if not text or (text[-1] - _FIRST_CHARACTER) & _MORE:
            return False
        compressed.append(text)
        areas_of_compressed.append(area)
    if not compressed:
        return True
    runs, starts = _runs(compressed)
    if runs is None or (runs < 0).any():
        return False
    return bool((np.add.reduceat(runs, starts) == areas_of_compressed).all())


def _runs(texts: Sequence[bytes]) -> tuple[NDArray[np.int64] | None, NDArray[np.int64]]:
    """The runs of compressed masks one after the other, and where each mask's begin.

    None for the runs where a character or a number is none.
    """
    digits = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - _FIRST_CHARACTER
    lasts = np.flatnonzero((digits & _MORE) == 0)
    firsts = np.append(0, lasts[:-1] + 1)
    num_digits = lasts - firsts + 1
    ends = np.cumsum([len(text) for text in texts])
    # A mask ends with a number, so that each mask's numbers are its own.
    starts = np.searchsorted(lasts, np.append(0, ends[:-1]))
    if digits.min() < 0 or digits.max() > _MAX_CHARACTER or num_digits.max() > _MAX_DIGITS:
        return None, starts
    places = np.arange(len(digits)) - np.repeat(firsts, num_digits)
    numbers = np.add.reduceat((digits & _DIGIT) << (_DIGIT_BITS * places), firsts)
    is_negative = (digits[lasts] & _SIGN) != 0
    numbers -= np.where(is_negative, np.int64(1) << (_DIGIT_BITS * num_digits), 0)
    num_runs = np.diff(starts, append=len(numbers))
    position = np.arange(len(numbers)) - np.repeat(starts, num_runs)
    mask_of = np.repeat(np.arange(len(texts)), num_runs)
    runs: NDArray[np.int64] = numbers.copy()
    for is_chained in ((position % 2 == 1), (position % 2 == 0) & (position > 0)):
        # Sums start anew with each mask: what came before its first difference is taken off.
        sums = np.cumsum(numbers[is_chained])
        before = np.append(0, sums)[np.searchsorted(mask_of[is_chained], np.arange(len(texts)))]
        runs[is_chained] = sums - before[mask_of[is_chained]]
    return runs, starts
