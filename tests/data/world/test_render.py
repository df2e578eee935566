from collections import Counter

import numpy as np
import pytest

from odise_cli.data.world.concepts import PATTERNS, STUFF, THINGS
from odise_cli.data.world.render import _PAINTERS, VOID, Scene, render
from odise_cli.data.world.scenes import _KINDS, plan_scene
from odise_cli.data.world.textures import _PAINTERS as _TEXTURES
from tests.data.world.alone import BACKGROUND, THING, picture, plan, region, thing


def scene(number: int, size: tuple[int, int]) -> Scene:
    rng = np.random.default_rng([12, number])
    return render(plan_scene(rng, aspect=size[1] / size[0], close_up=0.4), size, rng)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene(number, (80, 112)) for number in range(20)]


def test_a_picture_and_its_truth_have_the_size_asked_for(scenes):
    for drawn in scenes:
        assert (drawn.image_HW3.shape, drawn.image_HW3.dtype) == ((80, 112, 3), np.uint8)
        assert (drawn.numbers_HW.shape, drawn.numbers_HW.dtype) == ((80, 112), np.uint8)


def test_every_pixel_is_a_listed_segment_or_void(scenes):
    for drawn in scenes:
        counted = Counter(drawn.numbers_HW.ravel().tolist())
        num_void = counted.pop(VOID, 0)
        areas = {segment.number: segment.area_px for segment in drawn.segments}
        assert areas == counted
        assert list(areas) == sorted(areas)
        # 8 of 10,000 pixels are the least that counts; what is smaller is void.
        assert min(areas.values()) >= 0.0008 * 80 * 112
        assert num_void <= 0.02 * 80 * 112


def test_stuff_of_one_kind_is_one_segment(scenes):
    for drawn in scenes:
        stuff = [s.concept.name for s in drawn.segments if not s.concept.isthing]
        assert len(stuff) == len(set(stuff))


def test_two_pieces_of_a_stuff_have_one_number():
    right = ((0.75, -0.1), (1.1, -0.1), (1.1, 1.1), (0.75, 1.1))
    left = ((-0.1, -0.1), (0.25, -0.1), (0.25, 1.1), (-0.1, 1.1))
    drawn = picture(plan(regions=(region("sky"), region("grass", left), region("grass", right))))
    sky, grass = drawn.segments
    assert (sky.concept.name, grass.concept.name) == ("sky", "grass")
    # A quarter on each side, to a column of pixels at either edge.
    assert grass.area_px == pytest.approx(128 * 64, abs=2 * 128)
    assert set(drawn.numbers_HW[:, [0, -1]].ravel()) == {grass.number}


def test_the_same_plan_and_noise_give_the_same_picture(scenes):
    for number in range(3):
        again = scene(number, (80, 112))
        assert np.array_equal(again.image_HW3, scenes[number].image_HW3)
        assert np.array_equal(again.numbers_HW, scenes[number].numbers_HW)
        assert again.segments == scenes[number].segments


def test_noise_changes_the_picture_and_not_the_truth(scenes):
    other = render(scenes[0].plan, (80, 112), np.random.default_rng(99))
    assert np.array_equal(other.numbers_HW, scenes[0].numbers_HW)
    away = np.abs(other.image_HW3.astype(int) - scenes[0].image_HW3)
    assert 0 < away.mean() < 6


@pytest.mark.parametrize("number", range(6))
def test_a_plan_looks_the_same_at_any_size(number):
    scene_plan = plan_scene(np.random.default_rng([13, number]), close_up=0.4)
    small, large = picture(scene_plan, 128), picture(scene_plan, 256)
    # The nearest pixel of the larger map: 2 i + 1 stands for i.
    assert np.mean(small.numbers_HW == large.numbers_HW[1::2, 1::2]) >= 0.96


def test_a_window_is_a_part_of_the_picture():
    whole = plan(thing("house"), thing("tree", x=0.2))
    part = plan(*whole.items, window=(0.25, 0.5, 0.5))
    expected = picture(whole, 128).numbers_HW[64:, 32:96]
    assert np.mean(picture(part, 64).numbers_HW == expected) >= 0.96


def test_every_thing_and_stuff_can_be_drawn():
    assert set(_PAINTERS) == set(_KINDS) == {concept.name for concept in THINGS}
    assert set(_TEXTURES) == {concept.name for concept in STUFF}


@pytest.mark.parametrize("name", [concept.name for concept in THINGS])
@pytest.mark.parametrize("variant", [0.0, 0.5, 0.999])
def test_a_thing_fills_its_frame(name, variant):
    aspect = _KINDS[name].aspect
    height = min(0.5, 0.7 / aspect)
    item = thing(name, height=height, width=aspect * height, variant=variant)
    mask = picture(plan(item)).numbers_HW == THING
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # In frames of the thing: y up from its base, x from its middle; a pixel is below 0.05.
    bottom, top = item.y - (rows[-1] + 1) / 128, item.y - rows[0] / 128
    assert bottom / height == pytest.approx(0, abs=0.15)
    assert top / height == pytest.approx(1, abs=0.1)
    left, right = columns[0] / 128 - item.x, (columns[-1] + 1) / 128 - item.x
    assert left / item.width == pytest.approx(-0.5, abs=0.2)
    assert right / item.width == pytest.approx(0.5, abs=0.2)
    # What is thinnest is a street lamp of sticks and shades.
    assert mask.sum() > 0.2 * mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].size


def test_a_mirrored_thing_is_mirrored():
    mask = picture(plan(thing("car"))).numbers_HW == THING
    mirrored = picture(plan(thing("car", is_mirrored=True))).numbers_HW == THING
    assert np.mean(mask[:, ::-1] == mirrored) > 0.98
    assert np.mean(mask == mirrored) < 0.99


def test_the_nearer_thing_covers_the_farther():
    drawn = picture(plan(thing("ball", x=0.4), thing("ball", x=0.6)))
    # The balls' middles are at (0.4, 0.5) and (0.6, 0.5), their radius is 0.25.
    assert drawn.numbers_HW[64, 38] == 2
    assert drawn.numbers_HW[64, 64] == 3
    farther, nearer = drawn.segments[1:]
    assert nearer.area_px == pytest.approx(np.pi * 32**2, rel=0.04)
    assert farther.area_px < 0.8 * nearer.area_px


def test_what_is_too_small_to_count_is_void():
    drawn = picture(plan(thing("ball", height=0.02, width=0.02)))
    assert [segment.number for segment in drawn.segments] == [BACKGROUND]
    assert set(np.unique(drawn.numbers_HW)) == {VOID, BACKGROUND}


def test_a_shadow_belongs_to_the_ground():
    bare = picture(plan(thing("box")))
    shaded = picture(plan(thing("box", casts_shadow=True)))
    assert np.array_equal(bare.numbers_HW, shaded.numbers_HW)
    darker = bare.image_HW3.astype(int) - shaded.image_HW3 > 20
    assert darker.any()
    # At the box's base, y = 0.75, and nowhere else.
    assert np.flatnonzero(darker.any(axis=(1, 2))) == pytest.approx(96, abs=12)


@pytest.mark.parametrize("light", [-1.0, 1.0])
def test_the_side_towards_the_light_is_lighter(light):
    drawn = picture(plan(thing("ball"), light=light))
    image = drawn.image_HW3.astype(float).mean(axis=-1)
    columns = np.arange(128)[None, :]
    on_ball = drawn.numbers_HW == THING
    difference = image[on_ball & (columns >= 64)].mean() - image[on_ball & (columns < 64)].mean()
    assert difference * light > 5


@pytest.mark.parametrize(
    "name",
    [concept.name for concept in THINGS if concept.colors and concept.has_patterns],
)
def test_a_pattern_that_captions_may_speak_of_is_drawn(name):
    plain = picture(plan(thing(name)))
    for pattern in set(PATTERNS) - {"plain"}:
        drawn = picture(plan(thing(name, pattern=pattern)))
        assert np.array_equal(drawn.numbers_HW, plain.numbers_HW)
        assert drawn.segments[1].pattern == pattern
        marked = np.abs(drawn.image_HW3.astype(int) - plain.image_HW3).max(axis=-1) > 30
        # Smoothed edges reach half a pixel into the background.
        assert marked[plain.numbers_HW == BACKGROUND].mean() < 0.01
        assert marked[plain.numbers_HW == THING].mean() > 0.08


@pytest.mark.parametrize(
    "name", [concept.name for concept in THINGS if not (concept.colors and concept.has_patterns)]
)
def test_a_pattern_that_is_not_drawn_is_not_said(name):
    plain = picture(plan(thing(name)))
    striped = picture(plan(thing(name, pattern="striped")))
    assert np.array_equal(striped.image_HW3, plain.image_HW3)
    assert striped.segments[1].pattern == "plain"


def test_what_has_no_color_has_no_pattern():
    tree = picture(plan(thing("tree", pattern="striped"))).segments[1]
    assert (tree.color_name, tree.pattern) == ("", "plain")
