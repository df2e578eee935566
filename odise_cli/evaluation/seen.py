"""Which categories a model has met in training: by exact name and by normalised name.

Knows words; does not know models or files.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import Category


def is_seen_by_exact_name(
    categories: Sequence[Category], training: Sequence[Category]
) -> NDArray[np.bool_]:
    """[K] whether the category's name is the name of a training category, letter by letter."""
    names = {category.name for category in training}
    return np.array([category.name in names for category in categories], bool)


def is_seen_by_normalised_name(
    categories: Sequence[Category], training: Sequence[Category]
) -> NDArray[np.bool_]:
    """[K] whether the name is any word of a training category, but for case and punctuation.

    So "diningtable" is "dining table". Words that mean the same and are not listed stay apart.
    """
    words = {_normalised(word) for category in training for word in category.words}
    return np.array([_normalised(category.name) in words for category in categories], bool)


def _normalised(word: str) -> str:
    return re.sub(r"[\W_]+", "", word.casefold())
