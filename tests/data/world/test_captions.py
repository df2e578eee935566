import re
from collections import Counter

import numpy as np
import pytest

from odise_cli.data.world.captions import describe, name_one, plural
from odise_cli.data.world.concepts import CONCEPTS, PATTERNS, STUFF, THINGS
from odise_cli.data.world.render import SceneSegment
from odise_cli.model.clip import count_tokens
from tests.data.world.sentences import Mention, mentions, plural_of

_PLURALS = """
house houses, cottage cottages, home homes, tree trees, oak oaks, leafy tree leafy trees,
pine tree pine trees, fir firs, conifer conifers, car cars, automobile automobiles,
motorcar motorcars, bus buses, coach coaches, omnibus omnibuses, boat boats, sailboat sailboats,
yacht yachts, sun suns, sunshine sunshine, moon moons, crescent crescents, cloud clouds,
fluffy cloud fluffy clouds, person people, human humans, pedestrian pedestrians, bird birds,
songbird songbirds, duck ducks, duckling ducklings, fish fish, goldfish goldfish, flower flowers,
blossom blossoms, daisy daisies, mushroom mushrooms, toadstool toadstools, balloon balloons,
hot-air balloon hot-air balloons, airplane airplanes, plane planes, aircraft aircraft, tent tents,
canvas shelter canvas shelters, umbrella umbrellas, parasol parasols, sunshade sunshades,
lighthouse lighthouses, beacon tower beacon towers, rock rocks, boulder boulders, stone stones,
cactus cacti, succulent succulents, bench benches, park seat park seats, ball balls,
sphere spheres, lamp lamps, light lights, lantern lanterns, table tables, desk desks,
chair chairs, stool stools, vase vases, jar jars, pot pots, book books, novel novels,
volume volumes, clock clocks, timepiece timepieces, cup cups, mug mugs, teacup teacups, box boxes,
parcel parcels, package packages, bottle bottles, flask flasks, window windows,
glazed opening glazed openings
"""
"""Every word for a thing, and what many are called; written by hand."""
_MAX_TOKENS = 75
"""CLIP's 77, without the marks of start and end."""


def segment(number: int, concept, color: str = "", pattern: str = "plain", area_px: int = 100):
    return SceneSegment(
        number=number, concept=concept, color_name=color, pattern=pattern, area_px=area_px
    )


def scene(rng: np.random.Generator) -> list[SceneSegment]:
    """Some stuff and some things, up to six of a look, the same kind in several looks."""
    segments: list[SceneSegment] = []
    for i in rng.choice(len(STUFF), size=rng.integers(1, 4), replace=False):
        color = str(rng.choice(STUFF[i].colors or ("",)))
        segments.append(segment(len(segments) + 1, STUFF[i], color, area_px=2000))
    for i in rng.choice(len(THINGS), size=rng.integers(0, 5)):
        concept = THINGS[i]
        color = str(rng.choice(concept.colors or ("",)))
        pattern = str(rng.choice(list(PATTERNS))) if color else "plain"
        is_single = concept.name in ("sun", "moon")
        if is_single and any(s.concept is concept for s in segments):
            continue
        for _ in range(1 if is_single else rng.integers(1, 7)):
            area_px = int(rng.integers(20, 900))
            segments.append(segment(len(segments) + 1, concept, color, pattern, area_px))
    return segments


@pytest.fixture(scope="module")
def described() -> list[tuple[list[SceneSegment], list[str]]]:
    rng = np.random.default_rng(21)
    scenes = [scene(rng) for _ in range(250)]
    return [(segments, [describe(segments, rng) for _ in range(8)]) for segments in scenes]


def test_the_reader_reads():
    assert list(mentions("two crimson striped motorcars near a crescent under sky")) == [
        Mention(
            concept="car",
            is_singular=False,
            is_plural=True,
            count_word="two",
            color="red",
            pattern="striped",
        ),
        Mention(concept="moon", is_singular=True, is_plural=False, count_word="a"),
        Mention(concept="sky", is_singular=True, is_plural=False),
    ]
    for wrong in ("a blarge", "a red", "a red photo of a cup", "two red blue cups"):
        with pytest.raises(AssertionError):
            list(mentions(wrong))


def test_every_word_of_a_caption_is_true(described):
    for segments, captions in described:
        for caption in captions:
            found = list(mentions(caption))
            assert found, caption
            for mention in found:
                assert mention.fits(segments), (caption, mention)


def test_counted_nouns_agree(described):
    num_counted = 0
    for _, captions in described:
        for caption in captions:
            for mention in mentions(caption):
                is_many = mention.counts()[0] > 1
                assert mention.is_plural if is_many else mention.is_singular, caption
                num_counted += is_many
    assert num_counted > 300


def test_the_article_fits_the_next_word(described):
    articles = [
        match
        for _, captions in described
        for caption in captions
        for match in re.findall(r"\b(an?) (\w)", caption)
    ]
    # No word of the world begins like "hour" or "unicorn".
    assert {letter in "aeiou" for article, letter in articles if article == "an"} == {True}
    assert {letter in "aeiou" for article, letter in articles if article == "a"} == {False}


def test_a_caption_fits_into_the_text_encoder(described):
    captions = {caption for _, captions in described for caption in captions}
    assert max(map(count_tokens, captions)) <= _MAX_TOKENS


def test_a_caption_reads_like_one(described):
    for _, captions in described:
        for caption in captions:
            assert caption == caption.strip()
            assert not re.search(r"\s\s|\.\s*\.|,\s*,|\s[.,]|\{|\}", caption), caption


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda concept: concept.name)
def test_every_word_for_a_thing_is_said(concept):
    rng = np.random.default_rng(22)
    one = [segment(1, concept)]
    said = Counter(describe(one, rng) for _ in range(200))
    for word in concept.words:
        assert any(re.search(rf"\b{word}\b", caption) for caption in said), word
    if concept.isthing:
        two = " ; ".join(describe([*one, segment(2, concept)], rng) for _ in range(200))
        for word in concept.words:
            assert re.search(rf"\b{plural_of(word)}\b", two), word


def test_plurals_are_those_of_english():
    expected = {}
    for pair in _PLURALS.replace("\n", " ").split(","):
        words = pair.split()
        half = len(words) // 2
        expected[" ".join(words[:half])] = " ".join(words[half:])
    assert {word: plural(word) for concept in THINGS for word in concept.words} == expected


@pytest.mark.parametrize(
    ("name", "synonym", "never"),
    [("airplane", "aircraft", "aircrafts"), ("fish", "goldfish", "goldfishes")],
)
def test_some_plurals_look_like_one(name, synonym, never):
    (concept,) = (concept for concept in THINGS if concept.name == name)
    two, rng = [segment(1, concept), segment(2, concept)], np.random.default_rng(24)
    said = " ; ".join(describe(two, rng) for _ in range(100))
    assert re.search(rf"\b(two|pair of) ([a-z]+ )?{synonym}\b", said)
    assert never not in said


def test_the_wording_varies():
    segments = [segment(1, THINGS[0], "red", "striped"), segment(2, STUFF[0])]
    rng = np.random.default_rng(23)
    assert len({describe(segments, rng) for _ in range(100)}) > 60


def test_the_same_draws_give_the_same_caption(described):
    segments = described[0][0]
    first, again = (describe(segments, np.random.default_rng(5)) for _ in range(2))
    assert first == again


def test_nothing_is_said_of_nothing():
    assert describe([], np.random.default_rng(0)) == ""


def test_a_single_word_is_a_name_or_a_synonym_of_something_visible():
    rng = np.random.default_rng(3)
    cars = [segment(n, THINGS[3], area_px=100) for n in (2, 3, 4)]
    captions = [name_one([segment(1, STUFF[0], area_px=900), *cars], rng) for _ in range(400)]
    words = [caption.removeprefix("a photo of a ").rstrip(".") for caption in captions]
    assert set(words) == {*STUFF[0].words, *THINGS[3].words}
    assert {caption == word for caption, word in zip(captions, words, strict=True)} == {True, False}
    # A quarter of the picture: 100 of 400, give or take three standard deviations.
    assert 74 < sum(word in THINGS[3].words for word in words) < 126
    assert name_one([], rng) == ""
