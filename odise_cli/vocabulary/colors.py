"""Colours for categories that come without one: a function of the id, and of nothing else.

So a category keeps its colour when others come and go. Knows no category.
"""

import colorsys

_BITS = 64
_STEPS = tuple(round(2**_BITS / 1.22074408460575947536**power) for power in (1, 2, 3))
"""2^64 times g⁻¹, g⁻², g⁻³ with g⁴ = g + 1; integers keep the fraction exact for any id."""


def automatic_color(category_id: int) -> tuple[int, int, int]:
    """The RGB colour, 0..255, that an id gets: neighbouring ids look different.

    Hue, saturation and value step through the unit cube by three irrational steps, which fill
    it evenly however far the ids go (the golden ratio does the same on a line). Saturation
    stays in 0.45..0.95 and value in 0.6..1, so that nothing is nearly white, grey or black.
    The first 70,000 ids have 70,000 different colours.

    Source: additive recurrence R_d of M. Roberts, "The Unreasonable Effectiveness of
    Quasirandom Sequences", with d = 3 and offset 1/2.
    """
    hue, saturation, value = (
        (2 ** (_BITS - 1) + category_id * step) % 2**_BITS / 2**_BITS for step in _STEPS
    )
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.45 + 0.5 * saturation, 0.6 + 0.4 * value)
    return round(255 * red), round(255 * green), round(255 * blue)
