"""The words to look for: categories in order, and the flat list of words that is embedded.

Knows no file, no format and no encoder.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import Category


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Categories with distinct ids; a category's index is its place in `categories`."""

    categories: tuple[Category, ...]
    word_sources: tuple[str, ...] = field(compare=False, repr=False)
    """Where each of `words` was written, e.g. `kitchen.txt:12`; for messages."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The N words of all categories, category by category; a word may occur in several."""
        return tuple(word for category in self.categories for word in category.words)

    @cached_property
    def word_categories(self) -> NDArray[np.int64]:
        """[N] index of the category of each word, ascending; every category has one."""
        counts = [len(category.words) for category in self.categories]
        return np.repeat(np.arange(len(counts)), counts)

    @cached_property
    def sha256(self) -> str:
        """Hash, in hex, of ids, words, thing flags and colours in order; not of where they lie."""
        content = [[c.id, c.words, c.isthing, c.color] for c in self.categories]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
