import pytest

from odise_cli.errors import UsageError
from odise_cli.vocabulary.entries import Problems, and_more, make_entry


def test_white_space_is_tidied_and_a_word_stands_once():
    problems = Problems()
    entry = make_entry([" black\tpickup  truck ", "van", "van"], source="f:3", problems=problems)
    assert entry is not None
    assert entry.words == ("black pickup truck", "van")
    assert entry.sources == ("f:3", "f:3")
    assert entry.name == "black pickup truck"
    assert problems.warnings == [
        'f:3: "van" is written twice in one category. Once is enough. Remove one of them.'
    ]
    assert not problems.errors


@pytest.mark.parametrize("word", ["a\x1b[31mb", "a\ud800", "\x9fx"])
def test_characters_that_are_no_text_are_named(word: str):
    problems = Problems()
    make_entry([word], source="f, categories[0]", problems=problems)
    assert problems.errors == [
        f"f, categories[0]: {word!a} holds a character that is no text. Expected letters, "
        "digits and punctuation. Write the word anew."
    ]


def test_all_errors_are_shown_at_once_up_to_twenty():
    problems = Problems(errors=[f"f:{n}: wrong." for n in range(1, 1031)])
    with pytest.raises(UsageError) as caught:
        problems.raise_errors()
    lines = str(caught.value).split("\n")
    assert lines[0] == "f:1: wrong."
    assert lines[19:] == ["f:20: wrong.", "... and 1,010 more errors like these."]


def test_no_error_is_no_exception():
    Problems(warnings=["f:1: odd."]).raise_errors()


def test_and_more_counts_the_others():
    assert and_more(["a"]) == ""
    assert and_more("ab") == " (and 1 more)"
    assert and_more(range(1001)) == " (and 1,000 more)"
