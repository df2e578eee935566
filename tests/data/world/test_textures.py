import numpy as np
import pytest

from odise_cli.data.world.concepts import COLORS, STUFF
from odise_cli.data.world.textures import _PAINTERS, STUFF_COLORS, noise, tinted

_NAMES = [concept.name for concept in STUFF]


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("side_px", [64, 130])
def test_a_surface_has_its_color_on_the_whole(name, side_px):
    color = (120, 100, 80)
    surface = tinted(name, 0, side_px, color)
    assert (surface.shape, surface.dtype) == ((side_px, side_px, 3), np.uint8)
    assert surface.mean(axis=(0, 1)) == pytest.approx(color, rel=0.25)
    # It is no plain area, and it is the same when it is asked for again.
    assert surface.std(axis=(0, 1)).max() > 1
    assert np.array_equal(surface, tinted(name, 0, side_px, color))


def test_two_pieces_differ():
    assert not np.array_equal(
        tinted("grass", 0, 64, (9, 99, 9)), tinted("grass", 1, 64, (9, 99, 9))
    )


def test_stuff_has_colors_of_its_own_or_those_of_its_concept():
    for concept in STUFF:
        assert (concept.name in STUFF_COLORS) != bool(concept.colors)
        assert set(concept.colors) <= set(COLORS)


@pytest.mark.parametrize("side_px", [40, 70])
def test_a_stone_is_where_it_is_nearest(side_px):
    # Pixel by pixel, over all stones: the picture must not show the strips it is made of.
    wall = _PAINTERS["stone wall"](np.random.default_rng(5), side_px)
    rng = np.random.default_rng(5)
    stones, shades = rng.random((70, 2)), 0.14 * rng.standard_normal(70)
    for row, column in np.random.default_rng(6).integers(side_px, size=(300, 2)):
        y, x = (row + 0.5) / side_px, (column + 0.5) / side_px
        distances = np.array([np.hypot(y - v, x - u) for v, u in stones])
        nearest, second = np.argsort(distances)[:2]
        is_joint = distances[second] - distances[nearest] < 0.011
        assert wall[row, column] == pytest.approx(0.6 if is_joint else 1 + shades[nearest])


def test_noise_has_no_mean_and_unit_deviation():
    values = noise(np.random.default_rng(1), 90, (6, 9))
    assert values.shape == (90, 90)
    assert values.mean() == pytest.approx(0, abs=1e-9)
    assert values.std() == pytest.approx(1, abs=1e-4)
