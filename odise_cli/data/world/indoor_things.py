"""How the things look that are found indoors; each fills its brush's frame, 0..1 in height."""
# ruff: noqa: D103 - each function draws what it is called.

import math

from odise_cli.data.world.brush import Brush, Rgb, toned

_WOOD: Rgb = (132, 90, 54)
_DARK: Rgb = (46, 46, 54)
_PALE: Rgb = (242, 238, 226)


def ball(b: Brush) -> None:
    b.ellipse(0, 0.5, 0.5, 0.5, b.look.color, is_body=True)
    b.ellipse(-0.16, 0.7, 0.12, 0.1, toned(b.look.color, 1.35))


def lamp(b: Brush) -> None:
    b.ellipse(0, 0.03, 0.2, 0.04, _DARK)
    b.line([(0, 0.03), (0, 0.68)], 0.04, _DARK)
    b.polygon([(-0.28, 0.62), (0.28, 0.62), (0.15, 1), (-0.15, 1)], b.look.color, is_body=True)
    b.ellipse(0, 0.62, 0.28, 0.035, (255, 240, 190))


def table(b: Brush) -> None:
    half = 0.75 + 0.4 * b.look.variant
    for x in (-half * 0.88, half * 0.88):
        b.box(x - 0.06, 0, x + 0.06, 0.84, toned(b.look.color, 0.72))
    b.box(-half, 0.82, half, 1.0, b.look.color)
    b.box(-half * 0.85, 0.7, half * 0.85, 0.82, toned(b.look.color, 0.8))


def chair(b: Brush) -> None:
    dark = toned(b.look.color, 0.7)
    for x in (-0.26, 0.26):
        b.line([(x, 0), (x * 0.9, 0.46)], 0.07, dark)
    b.polygon([(-0.3, 0.42), (0.36, 0.42), (0.3, 0.54), (-0.28, 0.54)], b.look.color)
    b.line([(-0.24, 0.5), (-0.32, 1.0)], 0.07, dark)
    b.polygon([(-0.3, 0.62), (0.22, 0.62), (0.16, 1.0), (-0.36, 1.0)], b.look.color, is_body=True)


def vase(b: Brush) -> None:
    belly = 0.24 + 0.12 * b.look.variant
    heights = [i / 14 for i in range(15)]
    widths = [0.12 + belly * math.sin(math.pi * min(1.0, h / 0.78)) ** 1.4 for h in heights]
    widths[-2:] = [0.14, 0.19]
    right = list(zip(widths, heights, strict=True))
    left = [(-x, y) for x, y in reversed(right)]
    b.polygon(right + left, b.look.color, is_body=True)
    b.ellipse(0, 1.0, 0.19, 0.035, toned(b.look.color, 0.5))


def book(b: Brush) -> None:
    b.polygon([(-0.7, 0), (0.5, 0), (0.75, 0.3), (0.75, 0.5), (-0.7, 0.2)], _PALE)
    b.polygon([(-0.72, 0), (0.5, 0), (0.5, 0.12), (-0.72, 0.12)], toned(b.look.color, 0.7))
    b.polygon([(-0.72, 0.24), (0.5, 0.24), (0.78, 1.0), (-0.42, 1.0)], b.look.color, is_body=True)
    b.polygon([(-0.72, 0.24), (0.5, 0.24), (0.5, 0.34), (-0.72, 0.34)], toned(b.look.color, 0.8))
    b.polygon([(-0.2, 0.6), (0.35, 0.6), (0.43, 0.8), (-0.12, 0.8)], _PALE)


def clock(b: Brush) -> None:
    b.ellipse(0, 0.5, 0.5, 0.5, b.look.color)
    b.ellipse(0, 0.5, 0.41, 0.41, _PALE)
    for i in range(12):
        angle = math.radians(30 * i)
        x, y = math.cos(angle), math.sin(angle)
        b.line([(0.33 * x, 0.5 + 0.33 * y), (0.38 * x, 0.5 + 0.38 * y)], 0.03, _DARK)
    hour = 2 * math.pi * b.look.variant
    b.line([(0, 0.5), (0.2 * math.cos(hour), 0.5 + 0.2 * math.sin(hour))], 0.05, _DARK)
    b.line([(0, 0.5), (0.3 * math.sin(5 * hour), 0.5 + 0.3 * math.cos(5 * hour))], 0.035, _DARK)


def cup(b: Brush) -> None:
    for i in range(10):
        start, end = math.radians(-90 + 18 * i), math.radians(-72 + 18 * i)
        points = [
            (0.4 + 0.26 * math.cos(angle), 0.52 + 0.26 * math.sin(angle)) for angle in (start, end)
        ]
        b.line(points, 0.11, toned(b.look.color, 0.85))
    b.polygon([(-0.34, 0), (0.34, 0), (0.45, 0.94), (-0.45, 0.94)], b.look.color, is_body=True)
    b.ellipse(0, 0.93, 0.45, 0.07, toned(b.look.color, 0.55))


def box(b: Brush) -> None:
    half = 0.5 + 0.2 * b.look.variant
    b.polygon(
        [(-half, 0.75), (half, 0.75), (half + 0.2, 1.0), (-half + 0.2, 1.0)],
        toned(b.look.color, 1.18),
    )
    b.polygon(
        [(half, 0), (half + 0.2, 0.25), (half + 0.2, 1.0), (half, 0.75)], toned(b.look.color, 0.7)
    )
    b.box(-half, 0, half, 0.75, b.look.color, is_body=True)
    b.box(-0.07, 0, 0.07, 0.75, toned(b.look.color, 0.8))


def bottle(b: Brush) -> None:
    glass = b.look.color
    b.polygon(
        [(-0.16, 0), (0.16, 0), (0.16, 0.55), (0.06, 0.72), (0.06, 0.95), (-0.06, 0.95),
         (-0.06, 0.72), (-0.16, 0.55)],
        glass,
    )  # fmt: skip
    b.box(-0.07, 0.93, 0.07, 1.0, (190, 150, 100))
    b.box(-0.16, 0.16, 0.16, 0.42, _PALE)
    b.box(-0.12, 0.46, -0.07, 0.56, toned(glass, 1.5))


def window(b: Brush) -> None:
    half = 0.36 + 0.16 * b.look.variant
    b.box(-half, 0, half, 1, _PALE)
    for left, right in ((-half + 0.06, -0.03), (0.03, half - 0.06)):
        b.box(left, 0.06, right, 0.47, (150, 196, 226))
        b.box(left, 0.53, right, 0.94, (172, 212, 236))
    b.box(-half - 0.06, -0.02, half + 0.06, 0.05, _WOOD)
