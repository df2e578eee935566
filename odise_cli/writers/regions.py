"""Maps and masks become areas, boxes and run lengths, all segments in one pass.

Knows pixels; does not know categories or files. COCO's run lengths go down the columns, so
everything here counts pixels column by column: pixel (y, x) is number x · height + y.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_BLOCK_PX = 1 << 22
"""Pixels transposed at a time: bounds the memory that a huge map takes beside itself."""


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Where the N segments of a panoptic map lie, in order of segment id."""

    size: tuple[int, int]
    ids: NDArray[np.int64]
    """[N] segment ids, ascending; void is no segment."""
    areas: NDArray[np.int64]
    """[N] in pixels."""
    boxes_xywh: NDArray[np.int64]
    """[N, 4] tight boxes: left, top, width, height in pixels."""
    run_starts: NDArray[np.int64]
    """[R] first pixel of each vertical run, grouped by segment, ascending in a group."""
    run_lengths: NDArray[np.int64]
    """[R] in pixels; no run is longer than a column."""
    first_runs: NDArray[np.int64]
    """[N + 1] where each segment's runs begin, and R."""

    def rle(self, index: int) -> dict[str, object]:
        """Compressed RLE of the segment `ids[index]`: `size` and `counts` as a string."""
        runs = slice(self.first_runs[index], self.first_runs[index + 1])
        return runs_to_rle(self.run_starts[runs], self.run_lengths[runs], self.size)


def panoptic_to_regions(panoptic_HW: NDArray[np.int32]) -> Regions:
    """Areas, boxes and runs of all segments.

    Args:
        panoptic_HW: [H, W] segment id of each pixel, 0 void.
    """
    height, width = panoptic_HW.shape
    columns = max(1, _BLOCK_PX // height)
    all_starts, all_values = [], []
    for left in range(0, width, columns):
        flat = panoptic_HW[:, left : left + columns].T.ravel()
        at = _run_starts(flat, height)
        all_values.append(flat[at])
        all_starts.append(at + left * height)
    starts = np.concatenate(all_starts)
    values = np.concatenate(all_values)
    lengths = np.diff(starts, append=height * width)

    order = np.argsort(values, kind="stable")
    order = order[np.count_nonzero(values == 0) :]
    values, starts, lengths = values[order], starts[order], lengths[order]
    first = np.flatnonzero(np.diff(values, prepend=0))
    x, top = np.divmod(starts, height)
    left_top = [np.minimum.reduceat(edge, first) for edge in (x, top)]
    right_bottom = [np.maximum.reduceat(edge, first) for edge in (x + 1, top + lengths)]
    return Regions(
        size=(height, width),
        ids=values[first].astype(np.int64),
        areas=np.add.reduceat(lengths, first),
        boxes_xywh=np.stack(
            [*left_top, *(end - start for start, end in zip(left_top, right_bottom, strict=True))],
            axis=1,
        ),
        run_starts=starts,
        run_lengths=lengths,
        first_runs=np.append(first, len(starts)),
    )


def packed_mask_to_rle(packed: NDArray[np.uint8], size: tuple[int, int]) -> dict[str, object]:
    """Compressed RLE of one mask; only its own bounding box is looked at.

    Args:
        packed: [ceil(H·W / 8)] the mask's pixels in row-major order, by `numpy.packbits`.
        size: (height, width) of the mask.
    """
    height, width = size
    filled_bytes = np.flatnonzero(packed)
    if len(filled_bytes) == 0:
        empty = np.zeros(0, np.int64)
        return runs_to_rle(empty, empty, size)
    top = int(filled_bytes[0]) * 8 // width
    bottom = min(height, (int(filled_bytes[-1]) * 8 + 7) // width + 1)
    first_byte, skipped_bits = divmod(top * width, 8)
    bits = np.unpackbits(packed[first_byte : -(-bottom * width // 8)])
    rows = bits[skipped_bits : skipped_bits + (bottom - top) * width].reshape(-1, width)
    filled_columns = np.flatnonzero(rows.any(axis=0))
    left, right = int(filled_columns[0]), int(filled_columns[-1]) + 1

    flat = rows[:, left:right].T.ravel()
    at = _run_starts(flat, bottom - top)
    lengths = np.diff(at, append=len(flat))
    is_filled = flat[at] == 1
    x, y = np.divmod(at[is_filled], bottom - top)
    return runs_to_rle((x + left) * height + y + top, lengths[is_filled], size)


def _run_starts(flat: NDArray[np.generic], column_px: int) -> NDArray[np.int64]:
    """Where the value changes, and where a column begins: a run stays in its column."""
    is_start = np.empty(len(flat), bool)
    np.not_equal(flat[1:], flat[:-1], out=is_start[1:])
    is_start[::column_px] = True
    return np.flatnonzero(is_start)


def runs_to_rle(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], size: tuple[int, int]
) -> dict[str, object]:
    """COCO's compressed RLE of vertical runs, `counts` as a string that JSON can hold.

    Args:
        starts: [R] first pixel of each run, ascending, counted down the columns.
        lengths: [R] in pixels; runs that touch each other are joined.
        size: (height, width) of the mask.

    Source: pycocotools `mask.py`; counts alternate between 0s and 1s and begin with 0s.
    """
    height, width = size
    ends = starts + lengths
    is_gap = starts[1:] != ends[:-1]
    edges = np.empty((np.count_nonzero(is_gap) + (len(starts) > 0), 2), np.int64)
    edges[:, 0] = starts[np.append(True, is_gap)] if len(starts) else starts
    edges[:, 1] = ends[np.append(is_gap, True)] if len(starts) else ends
    counts = np.diff(edges.ravel(), prepend=0, append=height * width)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}
