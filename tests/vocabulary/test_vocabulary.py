import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.structures import Category
from odise_cli.vocabulary.vocabulary import Vocabulary

CAT = Category(id=70_000, words=("cat", "kitty"), isthing=True, color=(1, 2, 3))
SKY = Category(id=2, words=("sky",), isthing=False, color=(4, 5, 6))


def vocabulary(*categories: Category) -> Vocabulary:
    words = [word for category in categories for word in category.words]
    return Vocabulary(categories=categories, word_sources=tuple(f"f:{w}" for w in words))


def test_words_are_flat_and_know_their_category():
    both = vocabulary(CAT, SKY)
    assert both.words == ("cat", "kitty", "sky")
    assert both.word_categories.tolist() == [0, 0, 1]
    assert both.word_categories.dtype == np.int64


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=30))
def test_word_categories_equal_a_loop(counts: list[int]):
    categories = [replace(SKY, words=("w",) * count) for count in counts]
    expected = [index for index, count in enumerate(counts) for _ in range(count)]
    assert vocabulary(*categories).word_categories.tolist() == expected


def test_the_hash_depends_on_everything_but_the_sources():
    base = vocabulary(CAT, SKY)
    others = [
        vocabulary(SKY, CAT),
        vocabulary(CAT),
        vocabulary(replace(CAT, id=1), SKY),
        vocabulary(replace(CAT, words=("cat", "kitten")), SKY),
        vocabulary(replace(CAT, words=("kitty", "cat")), SKY),
        vocabulary(replace(CAT, isthing=False), SKY),
        vocabulary(replace(CAT, color=(1, 2, 4)), SKY),
    ]
    assert len({v.sha256 for v in [base, *others]}) == 8
    moved = replace(base, word_sources=("g:1", "g:1", "g:2"))
    assert moved.sha256 == base.sha256
    assert moved == base


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        vocabulary(CAT).categories = ()  # type: ignore[misc]


def test_importing_it_imports_no_torch():
    code = (
        "import sys, time, numpy; start = time.process_time()\n"
        "import odise_cli.commands.vocab\n"
        "assert time.process_time() - start < 0.2\n"
        "print([m for m in ('torch', 'open_clip', 'transformers', 'PIL') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("[]\n", "")
