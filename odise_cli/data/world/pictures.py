"""Pictures with captions for pre-training: scenes drawn once, seen through random windows.

A caption tells what is visible in its window. No mask leaves this module.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.data.world.captions import describe, name_one
from odise_cli.data.world.render import Scene, SceneSegment, render
from odise_cli.data.world.scenes import plan_scene

_MIN_NAMED = 0.012
"""Smallest part of a window that a caption may speak of."""
_MIN_NAMED_OF_PART = 0.03
_CHUNK = 64
_TRIES_A_REGION = 3


@dataclass(frozen=True, kw_only=True)
class CaptionedRegion:
    """A rectangle of patches of a picture, with what is said of it."""

    rows: slice
    columns: slice
    """In patches."""
    caption: str


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

    def regions(
        self,
        index: int,
        rng: np.random.Generator,
        *,
        count: int,
        sides: Sequence[int],
        patch_px: int,
        single_words: float,
    ) -> tuple[NDArray[np.uint8], list[CaptionedRegion]]:
        """A whole scene, mirrored or not, with random rectangles of whole patches.

        Two rectangles of a scene show the same things and stuff only where others are hard to
        find: most of a picture is sky or floor, which would be told of again and again.

        Args:
            index: of the scene.
            rng: decides.
            count: how many rectangles.
            sides: heights and widths to choose from, in patches.
            patch_px: side of a patch.
            single_words: share of captions that are a single word.

        Returns:
            RGB [side, side, 3] and the rectangles with their captions, which may be empty.
        """
        image, numbers = self.images_NHW3[index], self.numbers_NHW[index]
        if rng.random() < 0.5:
            image, numbers = image[:, ::-1], numbers[:, ::-1]
        new: list[tuple[slice, slice, list[SceneSegment]]] = []
        repeated: list[tuple[slice, slice, list[SceneSegment]]] = []
        known: set[frozenset[str]] = set()
        candidates = self._rectangles(index, numbers, rng, sides, patch_px)
        for region in islice(candidates, _TRIES_A_REGION * count):
            shown = frozenset(segment.concept.name for segment in region[2])
            (repeated if shown in known else new).append(region)
            known.add(shown)
            if len(new) == count:
                break
        chosen = (new + repeated)[:count]
        return np.ascontiguousarray(image), [
            CaptionedRegion(
                rows=rows,
                columns=columns,
                caption=(name_one if rng.random() < single_words else describe)(visible, rng),
            )
            for rows, columns, visible in chosen
        ]

    def _rectangles(
        self,
        index: int,
        numbers: NDArray[np.uint8],
        rng: np.random.Generator,
        sides: Sequence[int],
        patch_px: int,
    ) -> Iterator[tuple[slice, slice, list[SceneSegment]]]:
        """Rows and columns of patches of random rectangles, and what they show, without end."""
        grid = len(numbers) // patch_px
        while True:
            height, width = rng.choice(sides, size=2).tolist()
            top, left = rng.integers(0, (grid - height + 1, grid - width + 1)).tolist()
            rows, columns = slice(top, top + height), slice(left, left + width)
            shown = numbers[
                patch_px * top : patch_px * rows.stop, patch_px * left : patch_px * columns.stop
            ]
            yield rows, columns, self._visible(index, shown, _MIN_NAMED_OF_PART)

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
