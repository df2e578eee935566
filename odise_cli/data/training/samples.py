"""What a training dataset is to the training loop: numbered images with masks and captions.

Does not know where they come from: files in COCO's format, or a scene that was drawn just now.
Axes: N masks, H W pixels of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import Category


@dataclass(frozen=True, kw_only=True)
class TrainingSample:
    """One image and what is in it."""

    name: str
    """What messages call it, e.g. `000000000009.jpg`."""
    image: NDArray[np.uint8]
    """[H, W, 3] RGB."""
    masks: NDArray[np.bool_]
    """[N, H, W]; N may be 0, no mask is empty, no two overlap. Crowds are left out."""
    category_index: NDArray[np.int64]
    """[N] index of each mask's category into the dataset's `categories`."""
    captions: tuple[str, ...]
    """Sentences about the whole image, in order; empty where nobody wrote one."""


class TrainingDataset(Protocol):
    """Samples by number. May be read from several threads at once."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The training vocabulary, whose places `category_index` counts."""

    @property
    def names(self) -> Sequence[str]:
        """What the samples are called, all different, without reading any of them."""

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, index: int) -> TrainingSample:
        """Read one sample, the same whenever it is asked for.

        Raises:
            OdiseError: its files are missing, broken, or contradict each other.
        """
