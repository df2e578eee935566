"""Surfaces of stuff: grey textures, made once per size, and the colours that tint them.

A texture is [side, side] uint8, where 128 is the plain colour. Knows nothing of scenes.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = tuple[int, int, int]
Texture = NDArray[np.uint8]
_SEED = 7
_VARIANTS = 3


def tinted(name: str, variant: int, side_px: int, color: Rgb) -> NDArray[np.uint8]:
    """A surface [side, side, 3] uint8: the texture of stuff, tinted with a colour."""
    texture = _texture(name, variant % _VARIANTS, side_px)
    shades = (np.arange(256)[:, None] / 128.0) * np.array(color)
    palette: NDArray[np.uint8] = np.clip(shades, 0, 255).astype(np.uint8)
    return palette[texture]


@lru_cache(maxsize=128)
def _texture(name: str, variant: int, side_px: int) -> Texture:
    rng = np.random.default_rng([_SEED, variant, *name.encode()])
    values = _PAINTERS[name](rng, side_px)
    return np.clip(128.0 * values, 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator, side_px: int, cells_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Smooth noise [side, side], mean 0, deviation 1, with so many cells down and across."""
    grid = rng.standard_normal(cells_hw).astype(np.float32)
    size_wh = (side_px, side_px)
    smooth = np.asarray(Image.fromarray(grid).resize(size_wh, Image.Resampling.BICUBIC), float)
    centred: NDArray[np.float64] = smooth - smooth.mean()
    deviation = float(smooth.std()) + 1e-6
    return centred / deviation


def _axes(side_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of a texture, 0..1, broadcastable."""
    axis = (np.arange(side_px) + 0.5) / side_px
    return axis[:, None], axis[None, :]


def _sky(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, _ = _axes(side_px)
    return 0.86 + 0.34 * y + 0.025 * noise(rng, side_px, (4, 3))


def _grass(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    blades = noise(rng, side_px, (24, 90))
    return 1.0 + 0.13 * blades + 0.08 * noise(rng, side_px, (6, 6))


def _sand(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    ripples = np.sin(2 * np.pi * (16 * y + 0.9 * np.sin(7 * x) + 0.3 * noise(rng, side_px, (5, 5))))
    return 1.0 + 0.05 * ripples + 0.05 * noise(rng, side_px, (110, 110))


def _water(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    bend = 0.35 * np.sin(2 * np.pi * 3 * x) + 0.5 * noise(rng, side_px, (7, 3))
    waves = np.sin(2 * np.pi * (22 * y + bend))
    glints = noise(rng, side_px, (70, 20)) > 1.6
    return 0.95 + 0.09 * waves + 0.4 * glints


def _snow(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    return 1.0 + 0.035 * noise(rng, side_px, (5, 4)) + 0.012 * noise(rng, side_px, (60, 60))


def _road(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    return 1.0 + 0.08 * noise(rng, side_px, (100, 100)) + 0.05 * noise(rng, side_px, (4, 9))


def _mountain(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    bend = noise(rng, side_px, (6, 6))
    facets = np.abs((6 * x + 3 * y + 0.35 * bend) % 2 - 1)
    return 0.78 + 0.4 * facets + 0.05 * noise(rng, side_px, (40, 40))


def _hedge(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    leaves = noise(rng, side_px, (36, 36))
    return 1.0 + 0.22 * np.tanh(1.5 * leaves) + 0.06 * noise(rng, side_px, (5, 5))


def _bricks(
    side_px: int, num_rows: int, num_columns: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Mortar, and the number of the brick under each pixel; every other row is shifted."""
    y, x = _axes(side_px)
    row = np.floor(y * num_rows).astype(int)
    shifted = x * num_columns + 0.5 * (row % 2)
    column = np.floor(shifted).astype(int)
    mortar = (y * num_rows % 1 < 0.16) | (shifted % 1 < 0.09)
    return mortar, row * (num_columns + 1) + column


def _brick_wall(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    mortar, brick = _bricks(side_px, 18, 9)
    tone = 1.0 + 0.11 * rng.standard_normal(brick.max() + 1)[brick]
    return np.where(mortar, 1.45, tone)


def _stone_wall(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    stones = rng.random((70, 2)) * (1.0, 1.0)
    shades = 0.14 * rng.standard_normal(len(stones))
    # In strips: the distances of all pixels from all stones would take gigabytes.
    strips = np.array_split(y, -(-side_px // 32))
    return np.concatenate([_stones(strip, x, stones, shades) for strip in strips])


def _stones(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    stones: NDArray[np.float64],
    shades: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Rows of a wall of stones [S, 2], each with its shade [S]."""
    distances = np.hypot(y[..., None] - stones[:, 0], x[..., None] - stones[:, 1])
    nearest = distances.argmin(-1)
    tone = 1.0 + shades[nearest]
    # The nearest and the next stone: the difference of the distances vanishes in the joints.
    two = np.partition(distances, 1, axis=-1)[..., :2]
    return np.where(two[..., 1] - two[..., 0] < 0.011, 0.6, tone)


def _painted_wall(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    return 1.0 + 0.018 * noise(rng, side_px, (5, 5)) + 0.012 * noise(rng, side_px, (90, 90))


def _wooden_floor(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    plank = np.floor(14 * y).astype(int)[:, 0]
    tone = 1.0 + 0.1 * rng.standard_normal(15)[plank][:, None]
    seams = (14 * y % 1 < 0.07) | ((3 * x + rng.random(15)[plank][:, None] * 3) % 1 < 0.012)
    grain = 0.06 * noise(rng, side_px, (90, 5))
    return np.where(seams, 0.62, tone + grain)


def _tiled_floor(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    dark = (np.floor(13 * y) + np.floor(13 * x)) % 2
    joints = (13 * y % 1 < 0.07) | (13 * x % 1 < 0.07)
    return np.where(joints, 1.5, 1.25 - 0.45 * dark) + 0.015 * noise(rng, side_px, (40, 40))


def _carpet(rng: np.random.Generator, side_px: int) -> NDArray[np.float64]:
    y, x = _axes(side_px)
    diamonds = np.abs((11 * x) % 2 - 1) + np.abs((11 * y) % 2 - 1)
    figure = np.where(np.abs(diamonds - 1.0) < 0.22, 1.5, np.where(diamonds < 0.45, 0.6, 1.0))
    return figure + 0.04 * noise(rng, side_px, (120, 120))


_PAINTERS: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "sky": _sky,
    "grass": _grass,
    "sand": _sand,
    "water": _water,
    "snow": _snow,
    "road": _road,
    "mountain": _mountain,
    "hedge": _hedge,
    "brick wall": _brick_wall,
    "stone wall": _stone_wall,
    "painted wall": _painted_wall,
    "wooden floor": _wooden_floor,
    "tiled floor": _tiled_floor,
    "carpet": _carpet,
}

STUFF_COLORS: dict[str, tuple[Rgb, ...]] = {
    "sky": ((126, 182, 232), (150, 196, 236), (184, 196, 208), (236, 178, 140), (96, 144, 214)),
    "grass": ((104, 160, 66), (122, 172, 78), (86, 142, 60), (150, 170, 80)),
    "sand": ((226, 200, 146), (214, 184, 128), (234, 212, 168)),
    "water": ((48, 112, 176), (58, 134, 172), (40, 92, 150), (72, 150, 186)),
    "snow": ((238, 243, 250), (226, 234, 246)),
    "road": ((98, 98, 104), (84, 84, 92), (116, 114, 112)),
    "mountain": ((122, 116, 120), (108, 112, 132), (134, 116, 102)),
    "hedge": ((54, 100, 52), (44, 88, 54), (70, 112, 58)),
    "brick wall": ((164, 84, 62), (150, 74, 58), (178, 104, 76)),
    "stone wall": ((138, 134, 126), (120, 118, 120), (150, 142, 126)),
    "wooden floor": ((168, 116, 70), (144, 96, 58), (190, 142, 92)),
}
"""Colours of stuff whose colour goes without saying."""
