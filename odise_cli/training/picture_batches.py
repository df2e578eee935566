"""Batches of captioned pictures: random windows of scenes that were drawn once.

Knows which places in the stream are a pass's, so that a run can be resumed anywhere.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

import numpy as np
import torch
from numpy.typing import NDArray

from odise_cli.data.training.stream import Draw, ShuffledStream
from odise_cli.data.world.pictures import Pictures
from odise_cli.training.pretraining import PictureBatch


@dataclass(frozen=True, kw_only=True)
class PicturePasses:
    """Which scenes each pass of a run sees."""

    pictures: Pictures
    """The scenes that the stream's indices count."""
    stream: ShuffledStream
    """This process's share of the run's order."""
    images_per_pass: int
    """Of this process."""

    def starting_at(self, first: int) -> Iterator[tuple[int, list[Draw]]]:
        """Number and places of each pass, from the `first`-th of the run on, without end."""
        draws = self.stream.starting_at(first * self.images_per_pass * self.stream.world_size)
        for number in count(first):
            yield number, list(islice(draws, self.images_per_pass))


def open_part_batches(
    passes: PicturePasses, first: int, *, sides: Sequence[int], patch_px: int
) -> Iterator[PictureBatch]:
    """Batches of parts of scenes at their own scale and place, without end.

    Args:
        passes: what each pass sees.
        first: counts the passes of the run, from 0.
        sides: of the parts, in patches; each pass has one of them, for all processes the same.
        patch_px: side of a patch.
    """
    pictures = passes.pictures
    for number, draws in passes.starting_at(first):
        side = int(np.random.default_rng([passes.stream.seed, number]).choice(sides))
        parts = [
            pictures.part(draw.index, draw.rng(), num_patches=side, patch_px=patch_px)
            for draw in draws
        ]
        batch = _to_batch([(image, caption) for image, caption, _ in parts], draws)
        yield replace(batch, origins_B2=torch.tensor([origin for _, _, origin in parts]))


def open_region_batches(
    passes: PicturePasses,
    first: int,
    *,
    num_regions: int,
    sides: Sequence[int],
    patch_px: int,
    single_words: float,
) -> Iterator[PictureBatch]:
    """Batches of whole scenes with captions of their regions, without end.

    Args:
        passes: what each pass sees.
        first: counts the passes of the run, from 0.
        num_regions: of each scene.
        sides: of the regions, in patches; height and width are chosen apart.
        patch_px: side of a patch.
        single_words: share of captions that are a single word.
    """
    pictures = passes.pictures
    grid = pictures.images_NHW3.shape[1] // patch_px
    for _, draws in passes.starting_at(first):
        found = [
            pictures.regions(
                draw.index,
                draw.rng(),
                count=num_regions,
                sides=sides,
                patch_px=patch_px,
                single_words=single_words,
            )
            for draw in draws
        ]
        visible = np.zeros((len(draws), num_regions, grid, grid), np.bool_)
        for picture, (_, regions) in enumerate(found):
            for number, region in enumerate(regions):
                visible[picture, number, region.rows, region.columns] = True
        batch = _to_batch([(image, "") for image, _ in found], draws)
        yield replace(
            batch,
            captions=tuple(region.caption for _, regions in found for region in regions),
            visible_BRP=torch.from_numpy(visible).flatten(2),
        )


def open_window_batches(
    passes: PicturePasses, first: int, *, side_px: int, min_window: float
) -> Iterator[PictureBatch]:
    """Batches of windows of scenes, without end.

    Args:
        passes: what each pass sees.
        first: counts the passes of the run, from 0.
        side_px: of the windows as the network sees them.
        min_window: smallest side of a window, relative to its scene.
    """
    for _, draws in passes.starting_at(first):
        windows = [
            passes.pictures.window(draw.index, draw.rng(), side_px=side_px, min_scale=min_window)
            for draw in draws
        ]
        yield _to_batch(windows, draws)


def _to_batch(
    windows: Sequence[tuple[NDArray[np.uint8], str]], draws: Sequence[Draw]
) -> PictureBatch:
    images_BHW3 = torch.from_numpy(np.stack([image for image, _ in windows]))
    return PictureBatch(
        images_B3HW=images_BHW3.permute(0, 3, 1, 2).float() / 255.0,
        captions=tuple(caption for _, caption in windows),
        names=tuple(f"scene {draw.index}" for draw in draws),
    )
