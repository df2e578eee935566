from collections import Counter

from odise_cli.data.world.concepts import (
    CATEGORY_IDS,
    COLORS,
    CONCEPTS,
    IRREGULAR_PLURALS,
    PATTERNS,
    STUFF,
    THINGS,
)


def test_there_is_enough_of_it():
    # What the project set out to draw: at least 40 concepts, some of them never labelled.
    assert len(CONCEPTS) >= 40
    assert all(concept.isthing for concept in THINGS)
    assert not any(concept.isthing for concept in STUFF)
    assert {c.isthing for c in CONCEPTS if not c.is_seen} == {True, False}
    assert {c.isthing for c in CONCEPTS if c.is_seen} == {True, False}


def test_no_word_means_two_things():
    words = [word for concept in CONCEPTS for word in concept.words]
    words += [many for one, many in IRREGULAR_PLURALS.items() if many != one]
    words += [word for name, color in COLORS.items() for word in (name, *color.synonyms)]
    words += [word for name, synonyms in PATTERNS.items() for word in (name, *synonyms)]
    assert [word for word, number in Counter(words).items() if number > 1] == []
    assert all(word == word.lower().strip() for word in words)


def test_ids_count_from_one_in_order():
    assert list(CATEGORY_IDS.values()) == list(range(1, len(CONCEPTS) + 1))
    assert (CATEGORY_IDS["house"], CATEGORY_IDS["sky"]) == (1, len(THINGS) + 1)


def test_things_come_in_colors_that_exist():
    for concept in CONCEPTS:
        assert set(concept.colors) <= set(COLORS), concept.name


def test_colors_can_be_told_apart():
    values = [color.rgb for color in COLORS.values()]
    distances = [
        sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5
        for i, one in enumerate(values)
        for other in values[:i]
    ]
    # A thing's own shade is within about 12 of each channel.
    assert min(distances) > 40
