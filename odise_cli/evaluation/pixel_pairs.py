"""How often each value of one map meets each value of another: all that overlaps need.

Knows two maps; does not know what their values mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_VALUE_BITS = 31


@dataclass(frozen=True, kw_only=True)
class PixelPairs:
    """The P distinct pairs of values of two maps, ascending by first, then by second."""

    first: NDArray[np.int64]
    """[P] value in the first map."""
    second: NDArray[np.int64]
    """[P] value in the second map."""
    counts: NDArray[np.int64]
    """[P] pixels that have both, from 1."""


def count_pixel_pairs(first_HW: NDArray[np.integer], second_HW: NDArray[np.integer]) -> PixelPairs:
    """Count the pixels of each pair of values, all pairs in one pass.

    Args:
        first_HW: [H, W] integers, 0 to 2^31 - 1.
        second_HW: [H, W] integers of the same range.
    """
    assert first_HW.shape == second_HW.shape, (first_HW.shape, second_HW.shape)
    first, second = first_HW.ravel(), second_HW.ravel()
    # Maps are smooth: a sort of the runs is a hundred times shorter than one of the pixels.
    is_start = np.empty(len(first), bool)
    is_start[0] = True
    np.not_equal(first[1:], first[:-1], out=is_start[1:])
    is_start[1:] |= second[1:] != second[:-1]
    starts = np.flatnonzero(is_start)
    keys = (first[starts].astype(np.int64) << _VALUE_BITS) | second[starts].astype(np.int64)
    pairs, pair_of_run = np.unique(keys, return_inverse=True)
    counts = np.zeros(len(pairs), np.int64)
    np.add.at(counts, pair_of_run, np.diff(starts, append=len(first)))
    return PixelPairs(
        first=pairs >> _VALUE_BITS, second=pairs & ((1 << _VALUE_BITS) - 1), counts=counts
    )
