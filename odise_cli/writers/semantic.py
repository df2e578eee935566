"""Semantic maps: a 16-bit greyscale PNG of category indices, and what the indices mean.

Knows the format; does not know where files lie.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.errors import UsageError
from odise_cli.structures import VOID_CATEGORY, Category
from odise_cli.writers.png import encode_png


def check_category_count(num_categories: int) -> None:
    """Refuse a vocabulary that 16 bits cannot tell apart, before anything is loaded.

    Raises:
        UsageError: more than 65,535 categories.
    """
    if num_categories > VOID_CATEGORY:
        raise UsageError(
            f"--write semantic: the vocabulary has {num_categories:,} categories. A 16-bit map "
            f"holds at most {VOID_CATEGORY:,} (65535 is void). Leave semantic out of --write, or "
            "use a smaller vocabulary."
        )


def encode_semantic_png(semantic_HW: NDArray[np.uint16]) -> bytes:
    """The PNG of a semantic map.

    Args:
        semantic_HW: [H, W] category index of each pixel, 65535 void.
    """
    return encode_png(semantic_HW[..., None])


def semantic_labels(categories: Sequence[Category]) -> dict[str, Any]:
    """What `labels.json` says: the category that each pixel value stands for."""
    return {
        "void": VOID_CATEGORY,
        "categories": [
            {"index": index, **category_json(category)} for index, category in enumerate(categories)
        ],
    }


def category_json(category: Category) -> dict[str, Any]:
    """Everything about a category."""
    return {
        "id": category.id,
        "name": category.name,
        "synonyms": list(category.words[1:]),
        "isthing": int(category.isthing),
        "color": list(category.color),
    }
