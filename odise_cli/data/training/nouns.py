"""The words that a caption teaches: its nouns and noun phrases, by part-of-speech tagging.

Offline: textblob carries its tagger's lexicon inside its package. Knows English captions of
pictures; does not know which words a model was trained with. How well it does: docs/training.md.

Words come lower-case, in the caption's order, each once. The last word of a compound is made
singular ("wine glasses" → "wine glass", "people" → "person"), since categories are named in the
singular; what English has no everyday singular of stays ("clothes"). What a picture does not show
is left out: quantities ("a couple of"), places in the picture ("in the background") and the
picture itself ("a photo of").
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any, Final

import numpy as np

from odise_cli.errors import MissingDataError

NUM_WORDS: Final = 8
"""Words drawn for each image, unless told otherwise (paper: K_word)."""


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_QUANTITIES: Final = _set_of(
    "array assortment bit bunch collection couple dozen group handful kind lot number pair part "
    "piece selection set sort ton type variety"
)
"""No things alone before "of"; else they may be ("a lot", "a parking lot of a store")."""
_PLACES: Final = _set_of(
    "back background bottom center centre direction distance foreground front middle scene side "
    "top way"
)
_PICTURES: Final = _set_of("closeup image photo photograph picture shot view")
"""The picture itself where "of" or "showing" follows ("a picture of a cat") or a noun precedes
("bathroom shot"), else a thing in it ("a picture on the wall")."""
_NO_THINGS: Final = _set_of("one other others something someone anything everyone")
_QUANTIFIERS: Final = _set_of(
    "certain few full many more most much multiple next numerous other own same several single "
    "such top various"
)
_COLORS: Final = _set_of(
    "amber aqua azure beige bronze burgundy crimson cyan emerald gold indigo ivory khaki lavender "
    "magenta maroon navy pink purple ruby scarlet silver tan teal turquoise vermilion violet"
)
"""Adjectives before a noun, whatever the tagger says, and few things by themselves."""
_SINGULAR: Final = {
    "cacti": "cactus", "clothes": "clothes", "electronics": "electronics", "goods": "goods",
    "heavens": "heavens", "jeans": "jeans", "pajamas": "pajamas", "pants": "pants", "pies": "pie",
    "shelves": "shelf", "shorts": "shorts", "stairs": "stairs", "ties": "tie", "woods": "woods",
}  # fmt: skip
"""Where textblob's rules give what nobody says."""
_ARTICLES: Final = _set_of("a an the")
_VERBS: Final = frozenset({"VB", "VBP", "MD", "VBZ"})
_ADJECTIVES: Final = frozenset({"JJ", "JJR", "JJS"})
_PARTICIPLES: Final = frozenset({"VBN", "VBD", "VBG"})
_GO_ON: Final = _ADJECTIVES | {"CC", "CD", "VB", "VBN", "VBD"}
"""Tags after an adjective that say that its noun is still to come."""
_AUXILIARIES: Final = _set_of("is are be can has have")
_PREPOSITIONS: Final = _set_of("at by in near of on with")
_LOADING: Final = Lock()


@dataclass(frozen=True)
class _Term:
    adjectives: str
    noun: str


@dataclass
class _Token:
    word: str
    tag: str

    @property
    def is_noun(self) -> bool:
        return self.tag.startswith("NN") and any(c.isalpha() for c in self.word)

    @property
    def opens_phrase(self) -> bool:
        """An article or a possessive pronoun: what follows is no verb."""
        return self.word in _ARTICLES or self.tag == "PRP$"


def caption_nouns(caption: str) -> tuple[str, ...]:
    """The nouns of a caption, compounds whole: "a silver city bus" → "city bus".

    Raises:
        MissingDataError: textblob is not installed.
    """
    return tuple(dict.fromkeys(term.noun for term in _terms(caption)))


def caption_noun_phrases(caption: str) -> tuple[str, ...]:
    """The nouns of a caption with the adjectives before them: "silver city bus".

    Raises:
        MissingDataError: textblob is not installed.
    """
    return tuple(dict.fromkeys(f"{t.adjectives} {t.noun}".strip() for t in _terms(caption)))


def draw_words(
    captions: Sequence[str],
    rng: np.random.Generator,
    *,
    num_words: int = NUM_WORDS,
    words_of: Callable[[str], Sequence[str]] = caption_nouns,
) -> tuple[str, ...]:
    """Some words of one of an image's captions, drawn with replacement.

    Where there is no caption, or the drawn one has no noun, all are "", which the grounding loss
    weights out.

    Args:
        captions: of one image.
        rng: decides which caption and which of its words.
        num_words: how many.
        words_of: `caption_nouns` or `caption_noun_phrases`.

    Source: paper, section 3.5, "Image Caption Supervision".
    """
    words = words_of(captions[int(rng.integers(len(captions)))]) if captions else ()
    if not words:
        return ("",) * num_words
    return tuple(words[index] for index in rng.integers(len(words), size=num_words))


def _terms(caption: str) -> Iterator[_Term]:
    # The tagger takes capitals for names, and writes word/tag with a slash.
    text = caption.lower().replace("/", " , ").replace("’", "'")
    if not text.strip():
        return
    for sentence in _tagger()(text).split():
        tokens = [_Token(word, tag) for word, tag, *_ in sentence]
        _correct_tags(tokens)
        start = 0
        while start < len(tokens):
            end = _end_of_compound(tokens, start)
            if end > start and (noun := _noun(tokens, start, end)):
                yield _Term(adjectives=_adjectives_before(tokens, start), noun=noun)
            start = max(end, start + 1)


@cache
def _load_tagger() -> Callable[[str], Any]:
    try:
        from textblob.en import parse
    except ImportError as error:
        raise MissingDataError(
            "nouns of captions: textblob is not installed. Expected the packages for training. "
            "Run: pip install 'odise-cli[train]'."
        ) from error
    parse("a cat")
    return parse  # type: ignore[no-any-return]


def _tagger() -> Callable[[str], Any]:
    """Textblob's parser; a lock, since a second thread would meet a half-read lexicon."""
    with _LOADING:
        return _load_tagger()


def _correct_tags(tokens: Sequence[_Token]) -> None:
    """Take back what cannot be: the tagger reads "a sink" and "the stop sign" as verbs."""
    for token, after in pairwise(tokens):
        if token.word in _COLORS and (after.is_noun or after.tag in _ADJECTIVES | _PARTICIPLES):
            token.tag = "JJ"
    for index, token in enumerate(tokens[1:], start=1):
        before = tokens[index - 1]
        if token.word == "s" and before.word == "'":
            token.tag = "POS"
        elif token.tag in _VERBS and (
            before.opens_phrase
            or (before.tag in _ADJECTIVES and token.word not in _AUXILIARIES)
            or (token.tag == "VB" and before.word in _PREPOSITIONS)
            or (token.tag == "VB" and before.tag == "NN" and _ends_clause(tokens, index))
        ):
            token.tag = "NNS" if token.tag == "VBZ" else "NN"
        elif token.tag == "JJ" and _is_head(tokens, index):
            token.tag = "NN"


def _ends_clause(tokens: Sequence[_Token], index: int) -> bool:
    return index + 1 == len(tokens) or tokens[index + 1].tag in (".", ",")


def _is_head(tokens: Sequence[_Token], index: int) -> bool:
    """Whether an adjective ends a phrase that has no noun: "a sliced orange"."""
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if after and (after.is_noun or after.tag in _GO_ON):
        return False
    start = index
    while tokens[start - 1].tag in _ADJECTIVES | _PARTICIPLES and start > 1:
        start -= 1
    return tokens[start - 1].word in _ARTICLES


def _end_of_compound(tokens: Sequence[_Token], start: int) -> int:
    """Where the run of nouns from `start` ends; a plural ends it."""
    end = start
    while end < len(tokens) and tokens[end].is_noun:
        end += 1
        if tokens[end - 1].tag == "NNS":
            break
    return end


def _noun(tokens: Sequence[_Token], start: int, end: int) -> str:
    """The compound in its singular; empty if the picture does not show it."""
    words = [token.word for token in tokens[start:end]]
    # Alone they are spectacles; "wine glasses" are glasses.
    if words != ["glasses"]:
        words[-1] = _singular(words[-1], is_plural=tokens[end - 1].tag == "NNS")
    after = tokens[end].word if end < len(tokens) else ""
    while words and (
        words[-1] in _PLACES | _NO_THINGS
        or (words[-1] in _QUANTITIES and after == "of" and len(words) == 1)
        or (words[-1] in _PICTURES and (after in ("of", "showing") or len(words) > 1))
    ):
        words.pop()
    return " ".join(words)


def _singular(word: str, *, is_plural: bool) -> str:
    from textblob.en.inflect import singularize

    if word in _SINGULAR or not is_plural:
        return _SINGULAR.get(word, word)
    return str(singularize(word))


def _adjectives_before(tokens: Sequence[_Token], start: int) -> str:
    """The adjectives of a noun, joined as they are written: "old and faded"."""
    first = start
    while first and _is_adjective(tokens, first - 1):
        first -= 1
        is_joined = first > 1 and tokens[first - 1].word == "and"
        if is_joined and _is_adjective(tokens, first - 2):
            first -= 1
    words = [token.word for token in tokens[first:start] if token.word not in _QUANTIFIERS]
    return " ".join(words).removeprefix("and ")


def _is_adjective(tokens: Sequence[_Token], index: int) -> bool:
    if tokens[index].tag in _ADJECTIVES:
        return True
    before = tokens[index - 1] if index else None
    return (
        tokens[index].tag in _PARTICIPLES
        and before is not None
        and (before.opens_phrase or before.tag in _ADJECTIVES)
    )
