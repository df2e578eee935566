"""Masks on a grid, for tests that look at all of it."""

from torch import Tensor

from odise_cli.mask_grid import MaskGrid, Tile


def whole(grid: MaskGrid) -> Tile:
    """The output as one tile."""
    height, width = grid.output_size
    return Tile(top=0, bottom=height, left=0, right=width)


def grid_of(logits_QHW: Tensor) -> MaskGrid:
    """Masks that are at output size already."""
    size = (logits_QHW.shape[1], logits_QHW.shape[2])
    return MaskGrid(logits_QHW=logits_QHW, canvas_size=size, image_size=size, output_size=size)
