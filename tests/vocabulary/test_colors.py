import colorsys
from decimal import Decimal, getcontext

import pytest

from odise_cli.vocabulary.colors import automatic_color


@pytest.mark.parametrize("category_id", [0, 1, 7, 150, 1203, 70_000, 2**63 - 1])
def test_colors_follow_the_rule_of_the_readme(category_id: int):
    getcontext().prec = 60
    g = Decimal(1)
    for _ in range(400):  # g = (g + 1)^(1/4) is a contraction
        g = (g + 1).sqrt().sqrt()
    hue, s, v = (float((Decimal("0.5") + category_id / g**k) % 1) for k in (1, 2, 3))
    expected = [255 * c for c in colorsys.hsv_to_rgb(hue, 0.45 + 0.5 * s, 0.6 + 0.4 * v)]
    # Far out, the step that is rounded to 2^-64 has moved on; the colour is still a colour.
    if category_id < 2**40:
        assert automatic_color(category_id) == pytest.approx(expected, abs=0.51)
    assert all(0 <= c <= 255 for c in automatic_color(category_id))


def test_the_first_70000_ids_have_70000_colors():
    assert len({automatic_color(i) for i in range(70_000)}) == 70_000


def test_a_few_hundred_categories_are_not_nearly_the_same():
    colors = [automatic_color(i) for i in range(300)]
    distances = (
        max(abs(a - b) for a, b in zip(x, y, strict=True))
        for i, x in enumerate(colors)
        for y in colors[:i]
    )
    assert min(distances) >= 10


def test_no_color_is_nearly_black_white_or_grey():
    for i in range(2000):
        color = automatic_color(i)
        assert max(color) >= 0.6 * 255 - 1
        assert max(color) - min(color) >= 0.45 * 0.6 * 255 - 1
