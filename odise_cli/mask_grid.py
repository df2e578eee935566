"""Mask logits at the output's size, a tile at a time, and what a tile can hold at all.

Upsampling mixes neighbours, so a tile's logits lie between the least and the greatest of the
coarse ones under it: most masks are settled for most tiles without being upsampled.
Axes: Q queries, R C rows and columns of a tile, H W pixels. Knows nothing of categories.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from odise_cli.transfers import to_device

_TILE_SIDE_PX = 128
"""On a CPU: small enough for its cache and for edges to be rare, large for the calls' overhead."""
_DEVICE_TILE_BYTES = 2**29
"""Elsewhere: as few and large tiles as this leaves."""
_ROUNDING = 1e-5
"""Of the largest logit: more than the arithmetic of two resizes can err."""

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A rectangle of the output, pixels; `bottom` and `right` are past the last."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def num_pixels(self) -> int:
        """Rows times columns."""
        return (self.bottom - self.top) * (self.right - self.left)


@dataclass(frozen=True, kw_only=True)
class MaskGrid:
    """Mask logits and the two resizes between them and the output."""

    logits_QHW: Tensor
    """Mask logits as predicted, stride 4 of the canvas."""
    canvas_size: Size
    image_size: Size
    """What of the canvas is image; the rest is padding."""
    output_size: Size

    def select(self, index_Q: Tensor) -> "MaskGrid":
        """The same for some of the queries."""
        return replace(self, logits_QHW=self.logits_QHW[index_Q])

    def strips(self) -> Iterator[list[Tile]]:
        """The tiles of the output, row by row; but for the last, rows are multiples of 8 high."""
        (height, width), side = self.output_size, self._tile_side()
        for top in range(0, height, side):
            bottom = min(top + side, height)
            yield [
                Tile(top=top, bottom=bottom, left=left, right=min(left + side, width))
                for left in range(0, width, side)
            ]

    def tiles(self) -> Iterator[Tile]:
        """The tiles of the output; together they cover it once."""
        for strip in self.strips():
            yield from strip

    def window(self, tile: Tile, index_Q: Tensor | None = None) -> Tensor:
        """The logits of a tile, [Q, R, C], of all queries or of some.

        Two bilinear resizes, as published: to the canvas, then from its image part to the
        output.
        """
        source_QHW, *weights = self._under(tile)
        rows_RH, columns_CW = (to_device(each, source_QHW.device) for each in weights)
        chosen_QHW = source_QHW if index_Q is None else source_QHW[index_Q]
        return rows_RH @ chosen_QHW @ columns_CW.T

    def bounds(self, tile: Tile) -> tuple[Tensor, Tensor]:
        """Least and greatest logit [Q] that a tile may have, rounding included."""
        source_QP = self._under(tile)[0].flatten(1)
        low_Q, high_Q = source_QP.amin(dim=1), source_QP.amax(dim=1)
        margin_Q = _ROUNDING * (1 + torch.maximum(low_Q.abs(), high_Q.abs()))
        return low_Q - margin_Q, high_Q + margin_Q

    def _under(self, tile: Tile) -> tuple[Tensor, Tensor, Tensor]:
        """The coarse logits under a tile; in main memory, weights of their rows and columns."""
        first_row, rows_RH = self._weights(0, tile.top, tile.bottom)
        first_column, columns_CW = self._weights(1, tile.left, tile.right)
        source_QHW = self.logits_QHW[
            :,
            first_row : first_row + rows_RH.shape[1],
            first_column : first_column + columns_CW.shape[1],
        ]
        return source_QHW, rows_RH, columns_CW

    def _weights(self, axis: int, first: int, end: int) -> tuple[int, Tensor]:
        sides = (self.canvas_size[axis], self.image_size[axis], self.output_size[axis])
        return _resize_weights(self.logits_QHW.shape[1 + axis], *sides, first, end)

    def _tile_side(self) -> int:
        if self.logits_QHW.device.type == "cpu":
            return _TILE_SIDE_PX
        pixels = _DEVICE_TILE_BYTES // (4 * max(1, len(self.logits_QHW)))
        return max(8, int(pixels**0.5) // 8 * 8)


@lru_cache(maxsize=1024)
def _resize_weights(
    source: int, canvas: int, image: int, output: int, first: int, end: int
) -> tuple[int, Tensor]:
    """What two resizes make of one axis, as a matrix.

    Args:
        source: length of the coarse axis.
        canvas: its length after the first resize.
        image: how much of that the second one takes.
        output: the length after it.
        first: first wanted position of the output.
        end: past the last one.

    Returns:
        the first position of the coarse axis that has weight, and
        [end - first, n] weights of it and its n - 1 successors.
    """
    to_output = _bilinear(image, output, torch.arange(first, end))
    weights = to_output @ _bilinear(source, canvas, torch.arange(image))
    used = weights.any(dim=0).nonzero().squeeze(1)
    start, stop = int(used[0]), int(used[-1]) + 1
    return start, weights[:, start:stop].float()


def _bilinear(source: int, output: int, positions_N: Tensor) -> Tensor:
    """[N, source] weights of a bilinear resize at some positions of its output, float64.

    Source: bilinear interpolation with half-pixel centres (align_corners=False).
    """
    centre_N = ((positions_N.double() + 0.5) * source / output - 0.5).clamp(min=0)
    before_N = centre_N.long().clamp(max=source - 1)
    after_N = (before_N + 1).clamp(max=source - 1)
    share_N = centre_N - before_N
    rows_N = torch.arange(len(positions_N))
    weights_NS = torch.zeros(len(positions_N), source, dtype=torch.float64)
    weights_NS.index_put_((rows_N, before_N), 1 - share_N, accumulate=True)
    weights_NS.index_put_((rows_N, after_N), share_N, accumulate=True)
    return weights_NS
