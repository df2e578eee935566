"""`odise vocab list|show|lint`: what can be said of a vocabulary without any model.

Returns data; the command line prints it. Loads no weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

from odise_cli.vocabulary import (
    Vocabulary,
    bundled_names,
    check_word_lengths,
    lint_word_list,
    load_vocabulary,
)


@dataclass(frozen=True, kw_only=True)
class VocabularySummary:
    """One bundled label set, for a row of a table."""

    name: str
    num_categories: int
    num_things: int
    num_words: int
    """Names and synonyms of all categories."""


def list_vocabularies() -> tuple[VocabularySummary, ...]:
    """Every label set that comes with the package, by name."""
    return tuple(_summary(name, load_vocabulary([name])[0]) for name in bundled_names())


def show(spec: str) -> Vocabulary:
    """The categories of a file, a bundled set or a list, with the ids and colours they get.

    Raises:
        UsageError: it cannot be read as a vocabulary.
        MissingDataError: there is no such file or bundled set.
    """
    return load_vocabulary([spec])[0]


def lint(spec: str, *, count_tokens: Callable[[str], int]) -> tuple[str, ...]:
    """Every warning about a vocabulary, each with file and line; none is good news.

    Args:
        spec: a file, a bundled set or a list.
        count_tokens: how many tokens a text takes, without start and end marks; only called
            for words that may be too long.

    Raises:
        UsageError: the vocabulary cannot be used; a line for each error, with file and line.
        MissingDataError: there is no such file or bundled set.
    """
    warnings = lint_word_list(spec)
    check_word_lengths(show(spec), count_tokens)
    return warnings


def _summary(name: str, vocabulary: Vocabulary) -> VocabularySummary:
    return VocabularySummary(
        name=name,
        num_categories=len(vocabulary.categories),
        num_things=sum(category.isthing for category in vocabulary.categories),
        num_words=len(vocabulary.words),
    )
