"""Tiles of upsampled masks: the values of two resizes, within bounds, each pixel once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from odise_cli import mask_grid
from odise_cli.mask_grid import MaskGrid, Tile
from tests.masks import grid_of

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES, SIDES, SIDES, st.data())
def test_a_window_is_two_bilinear_resizes(
    in_height: int,
    in_width: int,
    image_height: int,
    image_width: int,
    out_height: int,
    out_width: int,
    data: st.DataObject,
) -> None:
    canvas = (
        image_height + data.draw(st.integers(0, 9)),
        image_width + data.draw(st.integers(0, 9)),
    )
    top, left = data.draw(st.integers(0, out_height - 1)), data.draw(st.integers(0, out_width - 1))
    tile = Tile(
        top=top,
        bottom=data.draw(st.integers(top + 1, out_height)),
        left=left,
        right=data.draw(st.integers(left + 1, out_width)),
    )
    logits = torch.randn(3, in_height, in_width, generator=torch.Generator().manual_seed(0))
    grid = MaskGrid(
        logits_QHW=logits,
        canvas_size=canvas,
        image_size=(image_height, image_width),
        output_size=(out_height, out_width),
    )
    on_canvas = F.interpolate(logits[None], canvas, mode="bilinear", align_corners=False)
    image = on_canvas[..., :image_height, :image_width]
    output = F.interpolate(image, (out_height, out_width), mode="bilinear", align_corners=False)
    expected = output[0, :, tile.top : tile.bottom, tile.left : tile.right]
    torch.testing.assert_close(grid.window(tile), expected, atol=1e-4, rtol=0)
    some = torch.tensor([2, 0])
    torch.testing.assert_close(grid.window(tile, some), expected[some], atol=1e-4, rtol=0)
    low, high = grid.bounds(tile)
    assert bool((low <= expected.amin(dim=(1, 2))).all())
    assert bool((high >= expected.amax(dim=(1, 2))).all())


def test_bounds_of_a_tile_by_hand() -> None:
    # Twice as large: the tile of the two left columns mixes the first two of the source's.
    grid = MaskGrid(
        logits_QHW=torch.tensor([[[1.0, 3.0, -8.0]]]),
        canvas_size=(1, 6),
        image_size=(1, 6),
        output_size=(1, 6),
    )
    low, high = grid.bounds(Tile(top=0, bottom=1, left=0, right=2))
    torch.testing.assert_close(torch.cat([low, high]), torch.tensor([1.0, 3.0]), rtol=0, atol=1e-4)


def test_tiles_cover_the_output_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_grid, "_TILE_SIDE_PX", 8)
    grid = grid_of(torch.zeros(1, 19, 13))
    covered = torch.zeros(19, 13)
    for tile in grid.tiles():
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert bool((covered == 1).all())
    assert [len(strip) for strip in grid.strips()] == [2, 2, 2]
    assert sum(tile.num_pixels for tile in grid.tiles()) == 19 * 13


def test_tiles_of_a_device_are_bounded_by_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # 512 bytes for two masks of floats: 64 pixels, eight by eight.
    monkeypatch.setattr(mask_grid, "_DEVICE_TILE_BYTES", 512)
    grid = grid_of(torch.zeros(2, 20, 20, device="meta"))
    assert [(tile.bottom, tile.right) for tile in grid.tiles()][:3] == [(8, 8), (8, 16), (8, 20)]


def test_select_keeps_the_sizes() -> None:
    grid = MaskGrid(
        logits_QHW=torch.arange(4.0).view(4, 1, 1),
        canvas_size=(20, 24),
        image_size=(17, 22),
        output_size=(9, 11),
    )
    some = grid.select(torch.tensor([3, 1]))
    assert some.logits_QHW.flatten().tolist() == [3.0, 1.0]
    assert (some.canvas_size, some.image_size, some.output_size) == ((20, 24), (17, 22), (9, 11))
