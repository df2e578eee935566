"""Sizes of an image at the model's input: resized, then padded.

Knows numbers only. Sizes are (height, width).
"""


def resized_size(size: tuple[int, int], *, short_side: int, long_side: int) -> tuple[int, int]:
    """Size after the test-time resize, which keeps the aspect ratio.

    The shorter side becomes `short_side`, unless the longer one would then exceed `long_side`;
    in that case the longer side becomes `long_side`. Sides are rounded half up and at least 1.
    The two scalings are applied one after the other, as the reference implementation does:
    a single, combined factor rounds a few sizes to the other side of a half.
    """
    shortest = min(size)
    scale = short_side / shortest
    sides = [float(short_side) if side == shortest else scale * side for side in size]
    if max(sides) > long_side:
        shrink = long_side / max(sides)
        sides = [side * shrink for side in sides]
    height, width = (max(1, int(side + 0.5)) for side in sides)
    return height, width


def padded_size(size: tuple[int, int], multiple: int = 64) -> tuple[int, int]:
    """The smallest size that holds `size` and whose sides are multiples of `multiple`."""
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple
