"""Batches of captioned pictures: random windows of scenes that were drawn once.

Knows which places in the stream are a pass's, so that a run can be resumed anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

import numpy as np
import torch
from numpy.typing import NDArray

from odise_cli.data.training.stream import Draw, ShuffledStream
from odise_cli.data.world.pictures import Pictures
from odise_cli.training.pretraining import PictureBatch


def open_part_batches(
    pictures: Pictures,
    stream: ShuffledStream,
    *,
    first: int,
    images_per_pass: int,
    sides: Sequence[int],
    patch_px: int,
) -> Iterator[PictureBatch]:
    """Batches of parts of scenes at their own scale and place, without end.

    Args:
        pictures: the scenes that the stream's indices count.
        stream: this process's share of the run's order.
        first: counts the passes of the run, from 0.
        images_per_pass: of this process.
        sides: of the parts, in patches; each pass has one of them, for all processes the same.
        patch_px: side of a patch.
    """
    draws = stream.starting_at(first * images_per_pass * stream.world_size)
    for number in count(first):
        side = int(np.random.default_rng([stream.seed, number]).choice(sides))
        chosen = list(islice(draws, images_per_pass))
        parts = [
            pictures.part(draw.index, draw.rng(), num_patches=side, patch_px=patch_px)
            for draw in chosen
        ]
        batch = _to_batch([(image, caption) for image, caption, _ in parts], chosen)
        yield replace(batch, origins_B2=torch.tensor([origin for _, _, origin in parts]))


def open_region_batches(
    pictures: Pictures,
    stream: ShuffledStream,
    *,
    first: int,
    images_per_pass: int,
    num_regions: int,
    sides: Sequence[int],
    patch_px: int,
    single_words: float,
) -> Iterator[PictureBatch]:
    """Batches of whole scenes with captions of their regions, without end.

    Args:
        pictures: the scenes that the stream's indices count.
        stream: this process's share of the run's order.
        first: counts the passes of the run, from 0.
        images_per_pass: of this process.
        num_regions: of each scene.
        sides: of the regions, in patches; height and width are chosen apart.
        patch_px: side of a patch.
        single_words: share of captions that are a single word.
    """
    draws = stream.starting_at(first * images_per_pass * stream.world_size)
    grid = pictures.images_NHW3.shape[1] // patch_px
    while True:
        chosen = list(islice(draws, images_per_pass))
        found = [
            pictures.regions(
                draw.index,
                draw.rng(),
                count=num_regions,
                sides=sides,
                patch_px=patch_px,
                single_words=single_words,
            )
            for draw in chosen
        ]
        visible = np.zeros((images_per_pass, num_regions, grid, grid), np.bool_)
        for picture, (_, regions) in enumerate(found):
            for number, region in enumerate(regions):
                visible[picture, number, region.rows, region.columns] = True
        batch = _to_batch([(image, "") for image, _ in found], chosen)
        yield replace(
            batch,
            captions=tuple(region.caption for _, regions in found for region in regions),
            visible_BRP=torch.from_numpy(visible).flatten(2),
        )


def open_picture_batches(
    pictures: Pictures,
    stream: ShuffledStream,
    *,
    first: int,
    images_per_pass: int,
    side_px: int,
    min_window: float,
) -> Iterator[PictureBatch]:
    """This process's batches from the `first`-th pass of the run on, without end.

    Args:
        pictures: the scenes that the stream's indices count.
        stream: this process's share of the run's order.
        first: counts the passes of the run, from 0.
        images_per_pass: of this process.
        side_px: of the windows as the network sees them.
        min_window: smallest side of a window, relative to its scene.
    """
    draws = stream.starting_at(first * images_per_pass * stream.world_size)
    while True:
        chosen = list(islice(draws, images_per_pass))
        windows = [
            pictures.window(draw.index, draw.rng(), side_px=side_px, min_scale=min_window)
            for draw in chosen
        ]
        yield _to_batch(windows, chosen)


def _to_batch(
    windows: Sequence[tuple[NDArray[np.uint8], str]], draws: Sequence[Draw]
) -> PictureBatch:
    images_BHW3 = torch.from_numpy(np.stack([image for image, _ in windows]))
    return PictureBatch(
        images_B3HW=images_BHW3.permute(0, 3, 1, 2).float() / 255.0,
        captions=tuple(caption for _, caption in windows),
        names=tuple(f"scene {draw.index}" for draw in draws),
    )
