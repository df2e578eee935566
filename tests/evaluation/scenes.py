"""Label maps that no dataset has: mosaics of regions with void and crowd."""

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import LabelRuns, Region

NUM_CATEGORIES = 4


def random_map(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.int32]:
    """[H, W] tiles of ids 0 to 5, in tiles of random width."""
    height, width = size
    tile = int(rng.integers(1, 6))
    tiles = rng.integers(0, 6, (-(-height // tile), -(-width // tile)))
    return np.kron(tiles, np.ones((tile, tile), np.int64))[:height, :width].astype(np.int32)


def disturbed(rng: np.random.Generator, map_HW: NDArray[np.int32]) -> NDArray[np.int32]:
    """Another map that overlaps much with this one."""
    is_kept = rng.random(map_HW.shape) < rng.choice([0.3, 0.6, 0.9, 1.0])
    return np.where(is_kept, map_HW, random_map(rng, map_HW.shape)).astype(np.int32)


def regions_of(
    rng: np.random.Generator, map_HW: NDArray[np.int32], *, crowd_share: float = 0.0
) -> tuple[Region, ...]:
    """A region for each id but 0, its category mostly a function of the id."""
    return tuple(
        Region(
            id=id_,
            category=id_ % NUM_CATEGORIES if rng.random() < 0.8 else int(rng.integers(4)),
            iscrowd=bool(rng.random() < crowd_share),
        )
        for id_ in np.unique(map_HW).tolist()
        if id_
    )


def renumbered(
    rng: np.random.Generator, map_HW: NDArray[np.int32], regions: tuple[Region, ...]
) -> tuple[NDArray[np.int32], tuple[Region, ...]]:
    """The same labels with other ids of up to three bytes."""
    ids = rng.choice(np.arange(1, 256**3), len(regions), replace=False).astype(np.int32)
    other_HW = np.zeros_like(map_HW)
    others = []
    for new_id, region in zip(ids.tolist(), regions, strict=True):
        other_HW[map_HW == region.id] = new_id
        others.append(Region(id=new_id, category=region.category, iscrowd=region.iscrowd))
    return other_HW, tuple(others)


def as_runs(image: tuple) -> tuple:
    """What accumulators take: the maps of an image as runs, all else as it is."""
    return tuple(LabelRuns.of_map(a) if isinstance(a, np.ndarray) else a for a in image)
