"""What people would say of a scene: sentences of varied wording about what is visible."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from odise_cli.data.world.concepts import COLORS, IRREGULAR_PLURALS, PATTERNS, Concept
from odise_cli.data.world.render import SceneSegment

_NUMERALS = {2: ("two", "a pair of"), 3: ("three", "several"), 4: ("four", "several")}
_MANY = ("many", "a lot of")
_MAX_NAMED = 5
_ALONE = ("{}", "{}", "a photo of {}.", "a photo of {}.", "a picture of {}", "{} up close")
_LISTED = (
    "{}.",
    "a photo of {}.",
    "a picture showing {}",
    "there is {} in the scene",
    "{} can be seen",
    "a drawing with {}",
)
_BESIDE = ("next to", "beside", "near", "with", "close to")


@dataclass(frozen=True, kw_only=True)
class _Group:
    """Things that look the same, or a piece of stuff."""

    concept: Concept
    color_name: str
    pattern: str
    number: int
    area_px: int


def describe(segments: Iterable[SceneSegment], rng: np.random.Generator) -> str:
    """Say something true about a picture, in English.

    Args:
        segments: what is visible.
        rng: picks what is mentioned, and the words.

    Returns:
        a sentence or a phrase; empty if nothing is visible.
    """
    groups = _grouped(segments)
    if not groups:
        return ""
    areas = np.array([group.area_px for group in groups], float)
    if rng.random() < 0.25:
        # The larger it is, the likelier it is what the picture is about.
        group = groups[rng.choice(len(groups), p=areas / areas.sum())]
        is_bare = rng.random() < 0.4
        return (
            _word(group.concept, rng) if is_bare else _pick(_ALONE, rng).format(_phrase(group, rng))
        )
    weights = np.sqrt(areas)
    num_named = min(len(groups), int(rng.integers(1, _MAX_NAMED + 1)))
    chosen = rng.choice(len(groups), size=num_named, replace=False, p=weights / weights.sum())
    named = [groups[i] for i in chosen]
    things = [_phrase(group, rng) for group in named if group.concept.isthing]
    stuff = [group for group in named if not group.concept.isthing]
    return _sentence(things, stuff, rng)


def name_one(segments: Iterable[SceneSegment], rng: np.random.Generator) -> str:
    """Name one kind of thing or stuff in a picture, and say nothing else.

    Args:
        segments: what is visible.
        rng: picks it, the likelier the larger it is, and the word.

    Returns:
        a word, alone or as "a photo of a {}."; empty if nothing is visible.
    """
    areas: Counter[Concept] = Counter()
    for segment in segments:
        areas[segment.concept] += segment.area_px
    if not areas:
        return ""
    shares = np.array(list(areas.values())) / areas.total()
    word = _word(list(areas)[rng.choice(len(areas), p=shares)], rng)
    return word if rng.random() < 0.5 else f"a photo of a {word}."


def _grouped(segments: Iterable[SceneSegment]) -> list[_Group]:
    counts: Counter[tuple[str, str, str]] = Counter()
    areas: Counter[tuple[str, str, str]] = Counter()
    concepts: dict[str, Concept] = {}
    for segment in segments:
        key = (segment.concept.name, segment.color_name, segment.pattern)
        concepts[segment.concept.name] = segment.concept
        counts[key] += 1
        areas[key] += segment.area_px
    return [
        _Group(
            concept=concepts[key[0]],
            color_name=key[1],
            pattern=key[2],
            number=number,
            area_px=areas[key],
        )
        for key, number in counts.items()
    ]


def _sentence(things: Sequence[str], stuff: Sequence[_Group], rng: np.random.Generator) -> str:
    """Join phrases: things first, then where they are."""
    if not things:
        return _pick(_LISTED, rng).format(_joined([_phrase(group, rng) for group in stuff]))
    if len(things) == 2 and rng.random() < 0.5:
        text = f"{things[0]} {_pick(_BESIDE, rng)} {things[1]}"
    else:
        text = _pick(_LISTED, rng).format(_joined(things)).rstrip(".")
    for group in stuff:
        text += f" {_preposition(group.concept.name, rng)} {_phrase(group, rng)}"
    return text


def _preposition(stuff: str, rng: np.random.Generator) -> str:
    if stuff == "sky":
        return _pick(("under", "below", "against"), rng)
    if stuff in ("mountain", "hedge") or stuff.endswith("wall"):
        return _pick(("in front of", "before", "near"), rng)
    return _pick(("on", "over", "with"), rng)


def _phrase(group: _Group, rng: np.random.Generator) -> str:
    """A noun with its number, colour and pattern, each of which may go unsaid."""
    concept = group.concept
    words = []
    if group.color_name and rng.random() < 0.65:
        options = (group.color_name, group.color_name, *COLORS[group.color_name].synonyms)
        words.append(_pick(options, rng))
    if group.pattern != "plain" and rng.random() < 0.6:
        words.append(_pick((group.pattern, *PATTERNS[group.pattern]), rng))
    noun = _word(concept, rng)
    if not concept.isthing:
        start = ["the"] if rng.random() < 0.3 else []
        return " ".join([*start, *words, noun])
    if group.number > 1:
        number = _pick(_NUMERALS.get(group.number, _MANY), rng)
        return " ".join([number, *words, plural(noun)])
    words.append(noun)
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join(["the" if rng.random() < 0.12 else article, *words])


def _word(concept: Concept, rng: np.random.Generator) -> str:
    """The name, or now and then a synonym."""
    if not concept.synonyms or rng.random() < 0.5:
        return concept.name
    return _pick(concept.synonyms, rng)


def plural(noun: str) -> str:
    """What many of a kind are called, by any word for a thing."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def _joined(phrases: Sequence[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
