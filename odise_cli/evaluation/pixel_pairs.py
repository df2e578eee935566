"""How often each value of one map meets each value of another: all that overlaps need.

Knows two maps as runs; does not know what their values mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import LabelRuns

_VALUE_BITS = 31


@dataclass(frozen=True, kw_only=True)
class CommonRuns:
    """The C stretches in which neither of two maps changes, row after row; some may be empty."""

    first: NDArray[np.int64]
    """[C] number of the run of the first map."""
    second: NDArray[np.int64]
    """[C] number of the run of the second map."""
    lengths: NDArray[np.int64]
    """[C] pixels."""


@dataclass(frozen=True, kw_only=True)
class PixelPairs:
    """The P distinct pairs of values of two maps, ascending by first, then by second."""

    first: NDArray[np.int64]
    """[P] value in the first map."""
    second: NDArray[np.int64]
    """[P] value in the second map."""
    counts: NDArray[np.int64]
    """[P] pixels that have both, from 1."""


def common_runs(first: LabelRuns, second: LabelRuns) -> CommonRuns:
    """Lay the runs of two maps of one size over each other."""
    assert first.size == second.size, (first.size, second.size)
    # The lowest bit tells whose start it is: sorting numbers takes half as long as their order.
    # Two ascending lists: a stable sort only has to merge them.
    marked = np.concatenate([first.starts << 1, second.starts << 1 | 1])
    marked.sort(kind="stable")
    num_second = np.cumsum(marked & 1)
    num_first = np.arange(1, len(marked) + 1) - num_second
    height, width = first.size
    return CommonRuns(
        # Both begin at 0, the first one's run first: until the second's follows, nothing is long.
        first=num_first - 1,
        second=np.maximum(num_second - 1, 0),
        lengths=np.diff(marked >> 1, append=height * width),
    )


def count_pixel_pairs(first: LabelRuns, second: LabelRuns) -> PixelPairs:
    """Count the pixels of each pair of values, all pairs in one pass.

    Args:
        first: values 0 to 2^31 - 1.
        second: of the same size, values of the same range.
    """
    runs = common_runs(first, second)
    is_long = runs.lengths > 0
    values = [
        labels.values[numbers[is_long]].astype(np.int64)
        for labels, numbers in ((first, runs.first), (second, runs.second))
    ]
    pairs, pair_of_run = np.unique(values[0] << _VALUE_BITS | values[1], return_inverse=True)
    counts = np.zeros(len(pairs), np.int64)
    np.add.at(counts, pair_of_run, runs.lengths[is_long])
    return PixelPairs(
        first=pairs >> _VALUE_BITS, second=pairs & ((1 << _VALUE_BITS) - 1), counts=counts
    )
