"""Pictures with captions for pre-training: scenes drawn once, seen through random windows.

A caption tells what is visible in its window. No mask leaves this module.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.data.world.captions import describe
from odise_cli.data.world.render import Scene, SceneSegment, render
from odise_cli.data.world.scenes import plan_scene

_MIN_NAMED = 0.012
"""Smallest part of a window that a caption may speak of."""
_MIN_NAMED_OF_PART = 0.03
_CHUNK = 64


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Scenes of one size, in memory."""

    images_NHW3: NDArray[np.uint8]
    numbers_NHW: NDArray[np.uint8]
    segments: tuple[tuple[SceneSegment, ...], ...]

    def __len__(self) -> int:
        return len(self.segments)

    def window(
        self, index: int, rng: np.random.Generator, *, side_px: int, min_scale: float
    ) -> tuple[NDArray[np.uint8], str]:
        """A random square of a scene, mirrored or not, and a caption of what it shows.

        Args:
            index: of the scene.
            rng: decides.
            side_px: of the returned picture.
            min_scale: smallest side of the square, relative to the scene.

        Returns:
            RGB [side, side, 3] and a caption, which may be empty.
        """
        full = self.images_NHW3.shape[1]
        side = round(full * rng.uniform(min_scale, 1.0))
        top, left = rng.integers(0, full - side + 1, size=2)
        rows, columns = slice(top, top + side), slice(left, left + side)
        image = self.images_NHW3[index, rows, columns]
        visible = self._visible(index, self.numbers_NHW[index, rows, columns], _MIN_NAMED)
        if rng.random() < 0.5:
            image = image[:, ::-1]
        if side != side_px:
            size_wh = (side_px, side_px)
            image = np.asarray(Image.fromarray(image).resize(size_wh, Image.Resampling.BILINEAR))
        return np.ascontiguousarray(image), describe(visible, rng)

    def part(
        self, index: int, rng: np.random.Generator, *, num_patches: int, patch_px: int
    ) -> tuple[NDArray[np.uint8], str, tuple[int, int]]:
        """A random square of whole patches at its own scale, and a caption of what it shows.

        Args:
            index: of the scene, which may be mirrored as a whole.
            rng: decides.
            num_patches: the square's side.
            patch_px: side of a patch.

        Returns:
            RGB [side, side, 3], a caption, which may be empty, and the row and column of the
            square's first patch.
        """
        places = self.images_NHW3.shape[1] // patch_px - num_patches + 1
        top, left = rng.integers(0, places, size=2).tolist()
        image, numbers = self.images_NHW3[index], self.numbers_NHW[index]
        if rng.random() < 0.5:
            image, numbers = image[:, ::-1], numbers[:, ::-1]
        rows = slice(patch_px * top, patch_px * (top + num_patches))
        columns = slice(patch_px * left, patch_px * (left + num_patches))
        visible = self._visible(index, numbers[rows, columns], _MIN_NAMED_OF_PART)
        return np.ascontiguousarray(image[rows, columns]), describe(visible, rng), (top, left)

    def _visible(
        self, index: int, numbers: NDArray[np.uint8], min_share: float
    ) -> list[SceneSegment]:
        """The segments that fill at least so much of a window, with their areas in it."""
        areas = np.bincount(numbers.ravel(), minlength=256).tolist()
        return [
            replace(segment, area_px=areas[segment.number])
            for segment in self.segments[index]
            if areas[segment.number] >= min_share * numbers.size
        ]


def draw_pictures(
    num_scenes: int, *, side_px: int, seed: int, close_up: float, num_workers: int
) -> Pictures:
    """Draw scenes; the same whatever the number of workers.

    Args:
        num_scenes: how many.
        side_px: side of the square pictures.
        seed: scene n follows from (seed, n).
        close_up: probability that a picture shows a part of its scene.
        num_workers: processes.
    """
    shape = (num_scenes, side_px, side_px)
    images = np.empty((*shape, 3), np.uint8)
    numbers = np.empty(shape, np.uint8)
    segments: list[tuple[SceneSegment, ...]] = []
    starts = range(0, num_scenes, _CHUNK)
    draw = partial(_draw, num_scenes=num_scenes, side_px=side_px, seed=seed, close_up=close_up)
    with ProcessPoolExecutor(num_workers) as pool:
        for start, scenes in zip(starts, pool.map(draw, starts), strict=True):
            for offset, scene in enumerate(scenes):
                images[start + offset] = scene.image_HW3
                numbers[start + offset] = scene.numbers_HW
                segments.append(scene.segments)
    return Pictures(images_NHW3=images, numbers_NHW=numbers, segments=tuple(segments))


def _draw(start: int, *, num_scenes: int, side_px: int, seed: int, close_up: float) -> list[Scene]:
    return list(_scenes(range(start, min(start + _CHUNK, num_scenes)), side_px, seed, close_up))


def _scenes(indices: range, side_px: int, seed: int, close_up: float) -> Iterator[Scene]:
    for index in indices:
        rng = np.random.default_rng([seed, index])
        yield render(plan_scene(rng, close_up=close_up), (side_px, side_px), rng)
