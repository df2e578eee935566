"""Several specs → one vocabulary: lists add up, every category gets an id and a colour.

Knows lists of entries; where they came from is the business of `specs.py`.
"""

import dataclasses
import difflib
from collections.abc import Sequence

from odise_cli.errors import UsageError
from odise_cli.structures import Category
from odise_cli.vocabulary.checks import overlap_warnings
from odise_cli.vocabulary.colors import automatic_color
from odise_cli.vocabulary.entries import Entry, and_more, matching_key
from odise_cli.vocabulary.specs import WordList, read_word_list
from odise_cli.vocabulary.vocabulary import Vocabulary


def load_vocabulary(
    specs: Sequence[str], *, stuff: Sequence[str] = ()
) -> tuple[Vocabulary, tuple[str, ...]]:
    """Read what `--vocab` and `--stuff` say.

    The specs add up in their order:

    * A category whose name an earlier spec has adds its words to that one, which keeps its id,
      flag and colour. So `--vocab ade150 --vocab 'car, pickup'` adds a synonym.
    * An id that is written stays, unless an earlier spec has taken it.
    * The others get ids in their order, from the largest id in use + 1, or from 1.

    Args:
        specs: files, bundled names or lists; at least one.
        stuff: words, also several with commas between them; a category that has one of them
            is stuff.

    Returns:
        The vocabulary, and what to warn of. What lines of bundled sets do to each other is
        known and not worth a warning in every run; `lint_word_list` says it.

    Raises:
        UsageError: a spec cannot be read as a vocabulary, or `stuff` has an unknown word.
        MissingDataError: there is no such file or bundled label set.
    """
    lists = [read_word_list(spec) for spec in specs]
    warnings = [w for each in lists if not each.is_bundled for w in each.warnings]
    known = {e.source for each in lists if each.is_bundled for e in each.entries}
    merged = _merge_names(lists, warnings)
    warnings.extend(overlap_warnings([e for each in merged for e in each.entries], known=known))
    entries = _mark_stuff(_assign_ids(merged, warnings), stuff)
    vocabulary = Vocabulary(
        categories=tuple(_category(entry) for entry in entries),
        word_sources=tuple(source for entry in entries for source in entry.sources),
    )
    return vocabulary, tuple(warnings)


def lint_word_list(spec: str) -> tuple[str, ...]:
    """Everything that is questionable in one spec, bundled or not.

    Raises:
        UsageError: everything that is wrong, each with file and line.
        MissingDataError: there is no such file or bundled label set.
    """
    word_list = read_word_list(spec)
    return (*word_list.warnings, *overlap_warnings(word_list.entries))


def _merge_names(lists: Sequence[WordList], warnings: list[str]) -> list[WordList]:
    """The lists without the categories that earlier ones have by name; their words move there."""
    merged: list[list[Entry]] = []
    place_by_name: dict[str, tuple[int, int]] = {}
    for number, word_list in enumerate(lists):
        own: list[Entry] = []
        moved: list[tuple[Entry, Entry]] = []
        for entry in word_list.entries:
            place = place_by_name.get(matching_key(entry.name))
            if place is None:
                own.append(entry)
            else:
                target = merged[place[0]][place[1]]
                merged[place[0]][place[1]] = _with_words_of(target, entry)
                moved.append((entry, target))
        for index, entry in enumerate(own):
            place_by_name.setdefault(matching_key(entry.name), (number, index))
        merged.append(own)
        if moved:
            entry, target = moved[0]
            warnings.append(
                f'{entry.source}: "{entry.name}" is a category of {target.source} too'
                f"{and_more(moved)}. Names must differ. Its words were added there."
            )
    return [
        dataclasses.replace(word_list, entries=tuple(own))
        for word_list, own in zip(lists, merged, strict=True)
    ]


def _with_words_of(target: Entry, added: Entry) -> Entry:
    sources = dict(zip(added.words, added.sources, strict=True))
    sources.update(zip(target.words, target.sources, strict=True))
    words = tuple(dict.fromkeys((*target.words, *added.words)))
    return dataclasses.replace(target, words=words, sources=tuple(sources[word] for word in words))


def _assign_ids(lists: Sequence[WordList], warnings: list[str]) -> list[Entry]:
    """All entries in order, each with an id that no other has."""
    taken: set[int] = set()
    entries: list[Entry] = []
    for word_list in lists:
        colliding = [entry for entry in word_list.entries if entry.id in taken]
        if colliding:
            first = colliding[0]
            warnings.append(
                f'{first.source}: id {first.id} of "{first.name}" is taken by an earlier '
                f"vocabulary{and_more(colliding)}. Ids must differ. New ones were given."
            )
        entries += [
            dataclasses.replace(entry, id=None) if entry.id in taken else entry
            for entry in word_list.entries
        ]
        taken |= {entry.id for entry in word_list.entries if entry.id is not None}
    next_id = max(taken, default=0) + 1
    for index, entry in enumerate(entries):
        if entry.id is None:
            entries[index] = dataclasses.replace(entry, id=next_id)
            next_id += 1
    return entries


def _mark_stuff(entries: list[Entry], stuff: Sequence[str]) -> list[Entry]:
    """The entries with those that have a word of `stuff` turned into stuff.

    Raises:
        UsageError: a word that no entry has.
    """
    wanted = [" ".join(word.split()) for text in stuff for word in text.split(",")]
    present = {matching_key(word): word for entry in entries for word in entry.words}
    for word in wanted:
        if matching_key(word) not in present:
            close = difflib.get_close_matches(matching_key(word), present, n=1)
            advice = f'Did you mean "{present[close[0]]}"?' if close else "Correct or remove it."
            raise UsageError(
                f'--stuff: "{word}" is in no category. Expected words of the vocabulary. {advice}'
            )
    keys = {matching_key(word) for word in wanted}
    return [
        dataclasses.replace(entry, isthing=False)
        if any(matching_key(word) in keys for word in entry.words)
        else entry
        for entry in entries
    ]


def _category(entry: Entry) -> Category:
    assert entry.id is not None
    return Category(
        id=entry.id,
        words=entry.words,
        isthing=entry.isthing,
        color=automatic_color(entry.id) if entry.color is None else entry.color,
    )
