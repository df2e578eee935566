import importlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.errors import UsageError
from odise_cli.vocabulary.checks import check_entries, check_word_lengths, overlap_warnings
from odise_cli.vocabulary.entries import Entry, Problems
from odise_cli.vocabulary.loader import load_vocabulary


def entry(words: str, line: int, category_id: int | None = None) -> Entry:
    parts = tuple(words.split(","))
    return Entry(words=parts, sources=(f"kitchen.txt:{line}",) * len(parts), id=category_id)


def errors(*entries: Entry) -> list[str]:
    problems = Problems()
    check_entries(entries, problems)
    return problems.errors


def test_a_name_that_is_listed_twice_is_an_error_with_both_lines():
    assert errors(entry("sponge", 4), entry("cup", 5), entry("Sponge,pad", 12)) == [
        'kitchen.txt:12: "Sponge" is listed twice (first in kitchen.txt:4). '
        "Category names must differ. Remove one of them."
    ]


def test_one_id_does_not_tell_two_names_apart():
    assert len(errors(entry("bag", 1, 7), entry("bag,purse", 2))) == 1


def test_two_ids_tell_two_names_apart_and_it_is_a_warning():
    entries = [entry("bag", 1, 7), entry("bag,purse", 2, 8)]
    assert errors(*entries) == []
    assert overlap_warnings(entries) == [
        'kitchen.txt:2: "bag" is the name of two categories (also in kitchen.txt:1). '
        "Only their ids tell them apart. Give one of them a more specific name."
    ]


def test_an_id_that_is_listed_twice_is_an_error_with_both_lines():
    assert errors(entry("a", 1, 70000), entry("b", 2, 3), entry("c", 3, 70000)) == [
        "kitchen.txt:3: id 70000 is taken (by kitchen.txt:1). Ids must differ. "
        "Give one of them another."
    ]


def test_a_synonym_of_two_categories_is_a_warning_with_both_lines():
    assert overlap_warnings([entry("sofa,Couch", 1), entry("bed,couch", 2), entry("x", 3)]) == [
        'kitchen.txt:2: "couch" stands in two categories (also in kitchen.txt:1). '
        "Both get the same score for it. Remove it from one of them."
    ]


def test_nothing_is_said_of_two_known_places():
    entries = [entry("a,x", 1), entry("b,x", 2), entry("c,x", 3)]
    warnings = overlap_warnings(entries, known={"kitchen.txt:1", "kitchen.txt:2"})
    assert [warning.split()[0] for warning in warnings] == ["kitchen.txt:3:"]


def count_words(text: str) -> int:
    return len(text.split())


def test_words_that_are_too_long_are_named_with_their_line(tmp_path):
    path = tmp_path / "long.txt"
    # "a photo of a" takes 4 tokens here, start and end 2: 71 more reach 77.
    path.write_text(f"cat, {'many ' * 71}\ndog\n{'many ' * 72}\n")
    vocabulary, _ = load_vocabulary([str(path)])
    with pytest.raises(UsageError) as caught:
        check_word_lengths(vocabulary, count_words)
    assert str(caught.value) == (
        f'{path}:3: "{"many " * 8}..." takes 78 tokens in "a photo of a {{}}.". '
        "The text encoder reads 77. Shorten it."
    )
    check_word_lengths(vocabulary, count_words, template="{}")


def test_short_words_need_no_tokenizer():
    def never(text: str) -> int:
        raise AssertionError(text)

    for name in ("ade847", "lvis1203", "mapillary65"):
        check_word_lengths(load_vocabulary([name])[0], never)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    importlib.import_module("odise_cli.model")  # repairs torchvision, which open_clip imports
    return importlib.import_module("open_clip.tokenizer").SimpleTokenizer()


@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=75))
def test_ascii_text_has_no_more_tokens_than_characters(tokenizer: Any, text: str):
    assert len(tokenizer.encode(text)) <= len(text)


def test_the_real_tokenizer_cuts_what_is_refused(tokenizer: Any):
    def count_tokens(text: str) -> int:
        return len(tokenizer.encode(text))

    # "a photo of a cat ... cat." is 4 + n + 1 tokens, start and end 2: n = 70 fills 77.
    end_token = tokenizer.encoder["<end_of_text>"]
    for num_cats, fits in ((70, True), (71, False)):
        words = " ".join(["cat"] * num_cats)
        whole = [*tokenizer.encode(f"a photo of a {words}."), end_token]
        assert (tokenizer(f"a photo of a {words}.")[0, 1:].tolist() == whole) == fits
        vocabulary, _ = load_vocabulary([words])
        if fits:
            check_word_lengths(vocabulary, count_tokens)
        else:
            with pytest.raises(UsageError, match=r"category 1: .* takes 78 tokens in"):
                check_word_lengths(vocabulary, count_tokens)
