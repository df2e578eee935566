"""Plans only: nothing here draws a pixel."""

import numpy as np
import pytest

from odise_cli.data.world.concepts import COLORS, CONCEPTS
from odise_cli.data.world.dataset import UNSEEN
from odise_cli.data.world.scenes import ScenePlan, plan_scene


def plan(number: int, **options) -> ScenePlan:
    return plan_scene(np.random.default_rng([11, number]), **options)


def names(scene: ScenePlan) -> set[str]:
    return {part.concept.name for part in (*scene.regions, *scene.items)}


@pytest.fixture(scope="module")
def plans() -> list[ScenePlan]:
    return [plan(number) for number in range(400)]


def test_a_seed_is_a_plan(plans):
    assert [plan(number) for number in range(5)] == plans[:5]
    assert len({repr(scene) for scene in plans}) == len(plans)


def test_everything_occurs(plans):
    assert set().union(*map(names, plans)) == {concept.name for concept in CONCEPTS}


def test_what_is_unseen_is_absent_when_asked():
    scenes = [plan(number, without=UNSEEN, close_up=0.3) for number in range(300)]
    assert set().union(*map(names, scenes)) == {c.name for c in CONCEPTS if c.is_seen}


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.6, 3.0])
def test_a_window_lies_inside_the_scene_and_shows_a_thing(aspect):
    num_windows = 0
    for number in range(100):
        scene = plan(number, aspect=aspect, close_up=1.0)
        left, top, height = scene.window
        assert 0 < height <= 1
        assert 0 <= left <= left + aspect * height <= aspect + 1e-9
        assert 0 <= top <= top + height <= 1 + 1e-9
        # The middle of the thing it was taken of.
        assert not scene.items or any(
            left <= item.x <= left + aspect * height
            and top <= item.y - item.height / 2 <= top + height
            for item in scene.items
        )
        num_windows += height < 1
    assert num_windows > 50


def test_from_afar_the_window_is_the_scene(plans):
    assert {scene.window for scene in plans} == {(0.0, 0.0, 1.0)}


def test_a_share_of_the_pictures_is_taken_from_near():
    num_near = sum(plan(number, close_up=0.25).window[2] < 1 for number in range(400))
    # Binomial(400, 0.25): mean 100, deviation 8.7; some windows are as large as the scene.
    assert 60 < num_near < 135


@pytest.mark.parametrize(
    ("thing", "places"),
    [
        ("boat", {"water"}),
        ("fish", {"water"}),
        ("cloud", {"sky"}),
        ("sun", {"sky"}),
        ("airplane", {"sky"}),
        ("car", {"grass", "sand", "snow", "road"}),
        ("window", {"brick wall", "stone wall", "painted wall"}),
        ("table", {"wooden floor", "tiled floor", "carpet"}),
    ],
)
def test_things_are_where_they_belong(plans, thing, places):
    scenes = [scene for scene in plans if thing in names(scene)]
    assert scenes
    for scene in scenes:
        assert names(scene) & places


def test_there_is_one_sun(plans):
    for scene in plans:
        found = [item.concept.name for item in scene.items]
        assert found.count("sun") <= 1
        assert found.count("moon") <= 1


def test_what_stands_lower_is_nearer_and_comes_later(plans):
    for scene in plans:
        standing = [item.y for item in scene.items if item.casts_shadow]
        assert standing == sorted(standing)
        # Whatever flies or hangs is behind it.
        flags = [item.casts_shadow for item in scene.items]
        assert flags == sorted(flags)


def test_no_two_things_are_in_one_place(plans):
    for scene in plans:
        for i, one in enumerate(scene.items):
            for other in scene.items[:i]:
                assert (one.x, one.y, one.height) != (other.x, other.y, other.height)


def test_a_color_is_what_it_is_called(plans):
    for scene in plans:
        for item in scene.items:
            assert item.color_name in (item.concept.colors or ("",))
            if item.color_name:
                away = np.subtract(item.look.color, COLORS[item.color_name].rgb)
                # Five deviations; nearer than to most other colours.
                assert np.abs(away).max() <= 60
