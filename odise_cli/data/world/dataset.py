"""The world as a training dataset: sample n is drawn when it is asked for.

Nothing is stored, so that a run may see as many scenes as it has time for.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.training.samples import TrainingSample
from odise_cli.data.world.captions import describe
from odise_cli.data.world.concepts import CATEGORY_IDS, CONCEPTS, Concept
from odise_cli.data.world.render import Scene, render
from odise_cli.data.world.scenes import WHOLE, plan_scene
from odise_cli.data.world.textures import STUFF_COLORS
from odise_cli.errors import UsageError
from odise_cli.structures import Category

UNSEEN = frozenset(concept.name for concept in CONCEPTS if not concept.is_seen)
"""Concepts that the training of the bundled heads never shows."""
_NUM_CAPTIONS = 5


class WorldDataset:
    """Square scenes with labels for the concepts of a vocabulary.

    Other concepts are absent rather than present without a mask: a label-supervised head learns
    that whatever has no mask is no object, and would learn to overlook them.

    Args:
        num_scenes: its length.
        categories: the vocabulary; all names are names of concepts.
        side_px: of every picture.
        seed: scene n follows from (seed, n).
        close_up: probability that a picture shows a part of its scene around one thing.
        min_window: otherwise it shows a random window; its smallest side, in scene heights.

    Raises:
        UsageError: a category is no concept.
    """

    def __init__(
        self,
        num_scenes: int,
        *,
        categories: tuple[Category, ...],
        side_px: int,
        seed: int,
        close_up: float = 0.0,
        min_window: float = 1.0,
    ) -> None:
        unknown = [category.name for category in categories if category.name not in CATEGORY_IDS]
        if unknown:
            raise UsageError(
                f"data.vocab: {unknown[0]!r} does not occur in the world. Expected names of "
                "`odise vocab show world48`. Use data.vocab = ['world36']."
            )
        self.side_px, self.seed = side_px, seed
        self.close_up, self.min_window = close_up, min_window
        self.categories = categories
        self.names: Sequence[str] = [f"world-{seed}-{number:06d}" for number in range(num_scenes)]
        self._index = {category.name: i for i, category in enumerate(categories)}
        self._without = frozenset(CATEGORY_IDS) - self._index.keys()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> TrainingSample:
        rng = np.random.default_rng([self.seed, index])
        plan = plan_scene(rng, without=self._without, close_up=self.close_up)
        if plan.window == WHOLE:
            plan = replace(plan, window=_random_window(rng, self.min_window))
        scene = render(plan, (self.side_px, self.side_px), rng)
        return TrainingSample(
            name=self.names[index],
            image=scene.image_HW3,
            masks=_masks(scene),
            category_index=np.array(
                [self._index[segment.concept.name] for segment in scene.segments], np.int64
            ),
            captions=tuple(describe(scene.segments, rng) for _ in range(_NUM_CAPTIONS)),
        )


def category_of(concept: Concept, *, words: tuple[str, ...] | None = None) -> Category:
    """A concept as a category of a vocabulary.

    Args:
        concept: any.
        words: what it is called; by default the name and all synonyms.
    """
    number = CATEGORY_IDS[concept.name]
    usual = STUFF_COLORS.get(concept.name)
    hue = np.random.default_rng([3, number]).integers(40, 236, 3).tolist()
    return Category(
        id=number,
        words=words or concept.words,
        isthing=concept.isthing,
        color=usual[0] if usual else (hue[0], hue[1], hue[2]),
    )


def _random_window(rng: np.random.Generator, min_side: float) -> tuple[float, float, float]:
    """Left, top and height of a square part of a square scene."""
    side = rng.uniform(min_side, 1.0)
    left, top = rng.uniform(0.0, 1.0 - side, size=2).tolist()
    return left, top, side


def _masks(scene: Scene) -> NDArray[np.bool_]:
    """[N, H, W], one mask a segment."""
    numbers = np.array([segment.number for segment in scene.segments], np.uint8)
    masks: NDArray[np.bool_] = scene.numbers_HW == numbers[:, None, None]
    return masks
