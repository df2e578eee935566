"""Lint: names, ids and words that collide, and words that the text encoder cannot hold.

What leaves no way to tell two categories apart is an error; what only makes them compete is a
warning, because published evaluation lists do it. Knows entries, but no format and no file.
"""

from collections.abc import Callable, Iterable, Set
from typing import Final

from odise_cli.vocabulary.entries import Entry, Problems, matching_key
from odise_cli.vocabulary.prompt import PHOTO, fill_template
from odise_cli.vocabulary.vocabulary import Vocabulary

MAX_TOKENS: Final = 77
"""What the text encoder reads, its start and end marks included."""
_NUM_MARKS: Final = 2
_SHOWN_CHARACTERS: Final = 40


def check_entries(entries: Iterable[Entry], problems: Problems) -> None:
    """Find ids and names that occur twice in one list.

    Two categories may share a name if both have an id of their own in the list: then files
    tell them apart, as in the 847 categories of ADE20K. `overlap_warnings` mentions them.
    """
    first_by_id: dict[int, Entry] = {}
    first_by_name: dict[str, Entry] = {}
    for entry in entries:
        if entry.id is not None:
            first = first_by_id.setdefault(entry.id, entry)
            if first is not entry:
                problems.errors.append(
                    f"{entry.source}: id {entry.id} is taken (by {first.source}). Ids must "
                    "differ. Give one of them another."
                )
        first = first_by_name.setdefault(matching_key(entry.name), entry)
        if first is not entry and None in (first.id, entry.id):
            problems.errors.append(
                f'{entry.source}: "{entry.name}" is listed twice (first in {first.source}). '
                "Category names must differ. Remove one of them."
            )


def overlap_warnings(entries: Iterable[Entry], *, known: Set[str] = frozenset()) -> list[str]:
    """Find words that stand in more than one category.

    Args:
        entries: the categories, each with a name that `check_entries` accepts.
        known: places that come with the package; nothing is said of two of them.
    """
    first_by_word: dict[str, tuple[Entry, str]] = {}
    warnings = []
    for entry in entries:
        for word, source in zip(entry.words, entry.sources, strict=True):
            key = matching_key(word)
            first, first_source = first_by_word.setdefault(key, (entry, source))
            if first is entry or (source in known and first_source in known):
                continue
            # What the user can mend comes first.
            where, other = (first_source, source) if source in known else (source, first_source)
            if word == entry.name and key == matching_key(first.name):
                warnings.append(
                    f'{where}: "{word}" is the name of two categories (also in {other}). '
                    "Only their ids tell them apart. Give one of them a more specific name."
                )
            else:
                warnings.append(
                    f'{where}: "{word}" stands in two categories (also in {other}). '
                    "Both get the same score for it. Remove it from one of them."
                )
    return warnings


def check_word_lengths(
    vocabulary: Vocabulary, count_tokens: Callable[[str], int], *, template: str = PHOTO
) -> None:
    """Refuse words that the text encoder would cut off, before any weight is loaded.

    Args:
        vocabulary: what to check.
        count_tokens: how many tokens a text takes, without start and end marks. It is only
            asked about words that may be too long: a token of byte-pair encoding stands for at
            least one byte, so short words need no tokenizer and nobody waits for its import.
        template: the longest template that the words will be put into.

    Raises:
        UsageError: one line per word, with file and line.
    """
    problems = Problems()
    for word, source in zip(vocabulary.words, vocabulary.word_sources, strict=True):
        prompt = fill_template(template, word)
        # Beyond ASCII, lower-casing and Unicode repair may add bytes.
        if prompt.isascii() and len(prompt) + _NUM_MARKS <= MAX_TOKENS:
            continue
        num_tokens = count_tokens(prompt) + _NUM_MARKS
        if num_tokens > MAX_TOKENS:
            shown = word if len(word) <= _SHOWN_CHARACTERS else f"{word[:_SHOWN_CHARACTERS]}..."
            problems.errors.append(
                f'{source}: "{shown}" takes {num_tokens} tokens in "{template}". The text encoder '
                f"reads {MAX_TOKENS}. Shorten it."
            )
    problems.raise_errors()
