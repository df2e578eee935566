"""Reads a caption of the world back: every word of it has to mean something.

Written from the rules of English, not from the code that writes captions: what is a plural is
listed here by hand.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from odise_cli.data.world.concepts import COLORS, CONCEPTS, PATTERNS
from odise_cli.data.world.render import SceneSegment

_PLURALS = {
    "person": "people",
    "fish": "fish",
    "goldfish": "goldfish",
    "aircraft": "aircraft",
    # It cannot be counted, and no scene has two suns.
    "sunshine": "sunshine",
    "cactus": "cacti",
    "bus": "buses",
    "omnibus": "omnibuses",
    "box": "boxes",
    "bench": "benches",
    "coach": "coaches",
    "daisy": "daisies",
}
"""Of things; the others get an s."""
_COUNTS = {
    "a": (1, 1),
    "an": (1, 1),
    "two": (2, 2),
    "pair": (2, 2),
    "three": (3, 3),
    "four": (4, 4),
    "several": (3, 4),
    "many": (5, 99),
    "lot": (5, 99),
}
_OTHER_WORDS = set(
    re.findall(
        r"\w+",
        "the; there is … in the scene; … can be seen; … up close; a photo of; a picture showing; "
        "a drawing with; next to, beside, near, close to, under, below, against, in front of, "
        "before, on, over, and",
    )
)
_COLOR_OF = {word: name for name, color in COLORS.items() for word in (name, *color.synonyms)}
_PATTERN_OF = {word: name for name, words in PATTERNS.items() for word in (name, *words)}


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One noun of a caption and what is said of it."""

    concept: str
    is_singular: bool
    is_plural: bool
    """A fish may be one or many."""
    count_word: str = ""
    color: str = ""
    pattern: str = ""

    def counts(self) -> tuple[int, int]:
        """From how many to how many things it may speak of."""
        return _COUNTS.get(self.count_word, (1, 99))

    def fits(self, segments: Iterable[SceneSegment]) -> bool:
        """Whether there are as many things of one look, or such stuff, as it says."""
        looks: dict[tuple[str, str], int] = {}
        for s in segments:
            if s.concept.name == self.concept:
                look = (s.color_name, s.pattern)
                looks[look] = looks.get(look, 0) + 1
        least, most = self.counts()
        return any(
            self.color in ("", color) and self.pattern in ("", pattern) and least <= number <= most
            for (color, pattern), number in looks.items()
        )


def plural_of(noun: str) -> str:
    return _PLURALS.get(noun, noun + "s")


def _nouns() -> dict[tuple[str, ...], Mention]:
    nouns: dict[tuple[str, ...], Mention] = {}
    for concept in CONCEPTS:
        for word in concept.words:
            forms = {word: (True, word in _PLURALS.values())}
            if concept.isthing:
                forms.setdefault(plural_of(word), (False, True))
            for form, (singular, plural) in forms.items():
                nouns[tuple(form.split())] = Mention(
                    concept=concept.name, is_singular=singular, is_plural=plural
                )
    return nouns


_NOUNS = _nouns()


def mentions(caption: str) -> Iterator[Mention]:
    """Every noun of a caption.

    Raises:
        AssertionError: a word means nothing here, or an adjective has no noun.
    """
    tokens = re.findall(r"[\w-]+", caption.lower())
    said = {"count_word": "", "color": "", "pattern": ""}
    while tokens:
        length = next((n for n in (3, 2, 1) if tuple(tokens[:n]) in _NOUNS), 1)
        phrase, tokens = tuple(tokens[:length]), tokens[length:]
        word = phrase[0]
        if phrase in _NOUNS:
            noun = _NOUNS[phrase]
            yield Mention(**{**vars(noun), **said})
            said = dict.fromkeys(said, "")
        elif word in _COLOR_OF:
            assert not said["color"], caption
            said["color"] = _COLOR_OF[word]
        elif word in _PATTERN_OF:
            assert not said["pattern"], caption
            said["pattern"] = _PATTERN_OF[word]
        else:
            assert word in _COUNTS or word in _OTHER_WORDS, (word, caption)
            assert not said["color"], caption
            assert not said["pattern"], caption
            if word in _COUNTS:
                said["count_word"] = word
            elif not (word == "of" and said["count_word"] in ("pair", "lot")):
                said["count_word"] = ""
    assert not said["color"], caption
    assert not said["pattern"], caption
