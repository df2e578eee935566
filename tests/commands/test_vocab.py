import pytest

from odise_cli.commands.vocab import lint, list_vocabularies, show
from odise_cli.errors import MissingDataError, UsageError


def count_characters(text: str) -> int:
    return len(text)


def test_list_has_a_row_per_bundled_set():
    rows = {row.name: row for row in list_vocabularies()}
    assert len(rows) == 11
    coco = rows["coco133"]
    # 80 things are COCO's; 254 words are those the published checkpoints were trained with.
    assert (coco.num_categories, coco.num_things, coco.num_words) == (133, 80, 254)


def test_show_gives_the_categories():
    vocabulary = show("cat, kitty; sky | stuff")
    assert [(c.id, c.words, c.isthing) for c in vocabulary.categories] == [
        (1, ("cat", "kitty"), True),
        (2, ("sky",), False),
    ]
    with pytest.raises(MissingDataError, match=r"nowhere\.txt: there is no such vocabulary"):
        show("nowhere.txt")


def test_lint_returns_warnings_and_raises_errors():
    assert lint("ade150", count_tokens=count_characters) == ()
    assert lint("sofa, couch; bed, couch", count_tokens=count_characters) == (
        '--vocab, category 2: "couch" stands in two categories (also in --vocab, category 1). '
        "Both get the same score for it. Remove it from one of them.",
    )
    with pytest.raises(UsageError, match='category 2: "cat" is listed twice'):
        lint("cat; cat", count_tokens=count_characters)
    # "a photo of a ." has 14 characters; 14 + 62 + 2 = 78.
    with pytest.raises(UsageError, match=r'category 1: "x{40}\.\.\." takes 78 tokens'):
        lint("x" * 62, count_tokens=count_characters)
    assert lint("x" * 61, count_tokens=count_characters) == ()
