"""The images that came out worst and best, and no more of them than asked for.

Knows numbers of images and how good each is; does not know what good means.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Images and how good each is, 0..1; no image is in both lists."""

    worst: tuple[tuple[int, float], ...]
    """(image, quality), the worst first; of equal ones the lower number first."""
    best: tuple[tuple[int, float], ...]
    """(image, quality), the best first; of equal ones the lower number first."""


class ImageRanking:
    """Accumulates the extremes of any number of images."""

    def __init__(self, num_kept: int) -> None:
        """Keep so many at either end; with less than twice as many images, half of them."""
        self._num_kept = num_kept
        self._num_images = 0
        self._worst: list[tuple[float, int]] = []
        """(quality, image), ascending."""
        self._best: list[tuple[float, int]] = []
        """(-quality, image), ascending; twice as many: of equal images some are the worst too."""

    def update(self, image: int, quality: float) -> None:
        """Add one image.

        Args:
            image: a number that no other has.
            quality: 0..1; NaN for an image in which there is nothing to judge, which has no rank.
        """
        if math.isnan(quality):
            return
        self._num_images += 1
        self._keep([(quality, image)], [(-quality, image)])

    def merge(self, other: "ImageRanking") -> None:
        """Add the images that another accumulator of the same size has seen."""
        self._num_images += other._num_images
        self._keep(other._worst, other._best)

    def compute(self) -> Ranking:
        """The ranking of the images so far."""
        num_worst = min(self._num_kept, (self._num_images + 1) // 2)
        num_best = min(self._num_kept, self._num_images // 2)
        worst = self._worst[:num_worst]
        taken = {image for _, image in worst}
        best = [(key, image) for key, image in self._best if image not in taken][:num_best]
        return Ranking(
            worst=tuple((image, quality) for quality, image in worst),
            best=tuple((image, -key) for key, image in best),
        )

    def _keep(self, worst: list[tuple[float, int]], best: list[tuple[float, int]]) -> None:
        self._worst = sorted(self._worst + worst)[: self._num_kept]
        self._best = sorted(self._best + best)[: 2 * self._num_kept]
