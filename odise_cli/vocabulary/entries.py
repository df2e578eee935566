"""What the parsers hand on: categories as they were written, and what is wrong with them.

An entry may still lack its id and colour. Knows no format and no file.
"""

import re
from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Final

from odise_cli.errors import UsageError

MAX_ID: Final = 2**63 - 1
"""Ids travel through JSON into readers that count in 64 bits."""
_SHOWN_ERRORS: Final = 20
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters, which no UTF-8 file can hold."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One category as it was written."""

    words: tuple[str, ...]
    """The name, then its synonyms; not empty, no word twice."""
    sources: tuple[str, ...]
    """Where each word was written, e.g. `kitchen.txt:12`."""
    id: int | None = None
    """None if it was not written: it will get a free one."""
    isthing: bool = True
    color: tuple[int, int, int] | None = None
    """RGB, 0..255; None if it was not written: it will follow from the id."""

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def source(self) -> str:
        """Where the name was written."""
        return self.sources[0]


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Complaints about a word list, collected so that a user reads all of them at once."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def raise_errors(self) -> None:
        """Stop if there is an error.

        Raises:
            UsageError: one line per error, at most twenty.
        """
        if not self.errors:
            return
        lines = self.errors[:_SHOWN_ERRORS]
        if len(self.errors) > _SHOWN_ERRORS:
            lines.append(f"... and {len(self.errors) - _SHOWN_ERRORS:,} more errors like these.")
        raise UsageError("\n".join(lines))


def matching_key(word: str) -> str:
    """What two words have in common that the text encoder cannot tell apart."""
    return word.lower()


def and_more(findings: Sized) -> str:
    """How a message that shows the first of several findings counts the others."""
    return f" (and {len(findings) - 1:,} more)" if len(findings) > 1 else ""


def make_entry(
    words: list[str],
    *,
    source: str,
    problems: Problems,
    category_id: int | None = None,
    isthing: bool = True,
    color: tuple[int, int, int] | None = None,
) -> Entry | None:
    """An entry with its white space tidied; None, and an error, where a word is empty."""
    tidy = [" ".join(word.split()) for word in words]
    if not any(tidy):
        problems.errors.append(
            f"{source}: the category has no name. Expected a name, then its synonyms. "
            "Add a name or remove the category."
        )
        return None
    if not all(tidy):
        problems.errors.append(
            f"{source}: a word between commas is empty. Expected name, synonym, synonym. "
            "Remove the extra comma."
        )
        return None
    for word in filter(_NO_TEXT.search, tidy):
        problems.errors.append(
            f"{source}: {word!a} holds a character that is no text. Expected letters, digits "
            "and punctuation. Write the word anew."
        )
    distinct = tuple(dict.fromkeys(tidy))
    problems.warnings.extend(
        f'{source}: "{word}" is written twice in one category. Once is enough. Remove one of them.'
        for word in distinct
        if tidy.count(word) > 1
    )
    return Entry(
        words=distinct,
        sources=(source,) * len(distinct),
        id=category_id,
        isthing=isthing,
        color=color,
    )
