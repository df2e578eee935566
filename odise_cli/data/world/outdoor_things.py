"""How the things look that are found outdoors; each fills its brush's frame, 0..1 in height."""
# ruff: noqa: D103 - each function draws what it is called.

import math

from odise_cli.data.world.brush import Brush, Rgb, toned

_WOOD: Rgb = (112, 76, 48)
_DARK: Rgb = (46, 46, 54)
_GLASS: Rgb = (176, 214, 234)
_PALE: Rgb = (242, 238, 226)


def house(b: Brush) -> None:
    half = 0.42 + 0.2 * b.look.variant
    b.box(-half, 0, half, 0.58, b.look.color, is_body=True)
    roof = (150, 70, 56) if b.look.variant < 0.5 else (92, 86, 96)
    b.box(half * 0.42, 0.75, half * 0.68, 0.97, toned(roof, 0.75))
    b.polygon(
        [(-half - 0.08, 0.56), (half + 0.08, 0.56), (half * 0.25, 1), (-half * 0.25, 1)], roof
    )
    b.box(-0.1, 0, 0.1, 0.34, _WOOD)
    for x in (-half * 0.64, half * 0.64):
        b.box(x - 0.1, 0.24, x + 0.1, 0.44, _PALE)
        b.box(x - 0.075, 0.265, x + 0.075, 0.415, _GLASS)


def tree(b: Brush) -> None:
    leaves = (74 + int(50 * b.look.variant), 138, 60)
    b.polygon([(-0.07, 0), (0.07, 0), (0.045, 0.5), (-0.045, 0.5)], _WOOD)
    for x, y, radius in ((-0.2, 0.55, 0.2), (0.2, 0.57, 0.2), (0, 0.5, 0.2), (0, 0.76, 0.24)):
        b.ellipse(x, y, radius, radius, leaves)
    b.ellipse(-0.07, 0.8, 0.12, 0.11, toned(leaves, 1.16))
    b.ellipse(0.14, 0.6, 0.1, 0.09, toned(leaves, 0.85))


def pine_tree(b: Brush) -> None:
    needles = (34, 92 + int(30 * b.look.variant), 70)
    b.box(-0.05, 0, 0.05, 0.2, _WOOD)
    for bottom, half, top in ((0.14, 0.32, 0.58), (0.38, 0.25, 0.78), (0.6, 0.18, 1.0)):
        b.polygon([(-half, bottom), (half, bottom), (0, top)], needles)
        b.polygon([(0, bottom), (half, bottom), (0, top)], toned(needles, 0.82))


def _wheel(b: Brush, x: float, radius: float) -> None:
    b.ellipse(x, radius, radius, radius, _DARK)
    b.ellipse(x, radius, 0.5 * radius, 0.5 * radius, (190, 190, 196))


def car(b: Brush) -> None:
    body = b.look.color
    cabin = [(-0.62, 0.5), (-0.4, 1), (0.38, 1), (0.72, 0.5)]
    b.polygon(cabin, toned(body, 0.9))
    b.polygon([(-0.5, 0.53), (-0.34, 0.9), (-0.04, 0.9), (-0.04, 0.53)], _GLASS)
    b.polygon([(0.04, 0.53), (0.04, 0.9), (0.32, 0.9), (0.56, 0.53)], _GLASS)
    b.polygon(
        [(-1.1, 0.2), (-1.1, 0.5), (-0.95, 0.58), (0.9, 0.58), (1.14, 0.44), (1.14, 0.2)],
        body,
        is_body=True,
    )
    b.box(1.02, 0.36, 1.14, 0.46, (250, 236, 170))
    for x in (-0.62, 0.64):
        _wheel(b, x, 0.24)


def bus(b: Brush) -> None:
    half = 1.15 + 0.3 * b.look.variant
    b.box(-half, 0.14, half, 1, b.look.color, is_body=True)
    num_windows = 5
    step = 2 * (half - 0.08) / num_windows
    for i in range(num_windows):
        left = -half + 0.12 + i * step
        b.box(left, 0.5, left + step - 0.1, 0.86, _GLASS)
    b.box(-half, 0.34, half, 0.4, _PALE)
    for x in (-0.6 * half, 0.6 * half):
        _wheel(b, x, 0.17)


def boat(b: Brush) -> None:
    sail = _PALE if b.look.variant < 0.6 else (240, 196, 96)
    b.line([(0, 0.2), (0, 1)], 0.035, _WOOD)
    b.polygon([(0.03, 0.3), (0.03, 0.98), (0.48, 0.3)], sail)
    b.polygon([(-0.03, 0.3), (-0.03, 0.9), (-0.34, 0.3)], toned(sail, 0.9))
    b.polygon([(-0.52, 0.26), (0.56, 0.26), (0.4, 0), (-0.38, 0)], b.look.color, is_body=True)


def sun(b: Brush) -> None:
    for i in range(12):
        angle, width = math.radians(30 * i), 0.13
        points = [
            (r * math.cos(angle + turn), 0.5 + r * math.sin(angle + turn))
            for r, turn in ((0.32, -width), (0.5, 0), (0.32, width))
        ]
        b.polygon(points, (250, 190, 60))
    b.ellipse(0, 0.5, 0.34, 0.34, (252, 214, 84))


def moon(b: Brush) -> None:
    points = []
    for i in range(25):
        angle = math.radians(-100 + 200 * i / 24)
        points.append((0.5 * math.cos(angle) - 0.1, 0.5 + 0.5 * math.sin(angle)))
    for i in range(25):
        angle = math.radians(100 - 200 * i / 24)
        points.append((0.28 * math.cos(angle) - 0.14, 0.5 + 0.46 * math.sin(angle)))
    b.polygon(points, (244, 238, 206))


def cloud(b: Brush) -> None:
    white = (246, 248, 252)
    for x, y, radius in (
        (-0.55, 0.3, 0.3),
        (0.55, 0.3, 0.28),
        (-0.15, 0.52, 0.44),
        (0.3, 0.46, 0.36),
    ):
        b.ellipse(x, y, radius, radius, white)
    b.box(-0.6, 0.0, 0.6, 0.3, toned(white, 0.94))


def person(b: Brush) -> None:
    skins: tuple[Rgb, ...] = ((240, 200, 168), (198, 146, 104), (122, 82, 58))
    skin = skins[int(2.99 * b.look.variant)]
    trousers = (58, 66, 96) if b.look.variant < 0.5 else (104, 92, 76)
    b.line([(-0.07, 0.46), (-0.1, 0)], 0.1, trousers)
    b.line([(0.07, 0.46), (0.1, 0)], 0.1, trousers)
    b.line([(-0.13, 0.76), (-0.24, 0.46)], 0.075, toned(b.look.color, 0.9))
    b.line([(0.13, 0.76), (0.24, 0.46)], 0.075, toned(b.look.color, 0.9))
    b.polygon(
        [(-0.15, 0.42), (0.15, 0.42), (0.17, 0.78), (-0.17, 0.78)], b.look.color, is_body=True
    )
    b.ellipse(0, 0.885, 0.105, 0.115, skin)
    b.ellipse(0, 0.9, 0.115, 0.1, (70, 48, 34), arc=(0, 180))


def bird(b: Brush) -> None:
    body = b.look.color
    b.polygon([(-0.55, 0.4), (-1.0, 0.62), (-0.95, 0.36)], toned(body, 0.8))
    b.ellipse(0, 0.42, 0.6, 0.3, body, is_body=True)
    b.ellipse(0.55, 0.66, 0.24, 0.24, body)
    b.polygon([(0.75, 0.72), (1.04, 0.64), (0.75, 0.56)], (240, 160, 50))
    b.ellipse(0.62, 0.7, 0.05, 0.05, _DARK)
    b.polygon([(-0.3, 0.5), (0.2, 0.5), (-0.25 - 0.2 * b.look.variant, 1.0)], toned(body, 0.75))


def duck(b: Brush) -> None:
    body = b.look.color
    b.polygon([(-0.5, 0.3), (-0.78, 0.56), (-0.3, 0.5)], body)
    b.ellipse(0, 0.26, 0.6, 0.26, body, is_body=True)
    b.polygon([(0.2, 0.3), (0.52, 0.3), (0.5, 0.75), (0.3, 0.75)], body)
    b.ellipse(0.42, 0.8, 0.2, 0.19, body)
    b.polygon([(0.58, 0.86), (0.86, 0.8), (0.86, 0.74), (0.58, 0.7)], (240, 140, 40))
    b.ellipse(0.47, 0.84, 0.04, 0.04, _DARK)
    b.ellipse(-0.05, 0.3, 0.3, 0.13, toned(body, 0.82))


def fish(b: Brush) -> None:
    b.polygon([(-0.55, 0.5), (-1.05, 0.95), (-1.05, 0.05)], toned(b.look.color, 0.82))
    b.polygon([(-0.2, 0.8), (0.2, 0.8), (-0.15, 1.0)], toned(b.look.color, 0.82))
    b.ellipse(0, 0.5, 0.75, 0.38, b.look.color, is_body=True)
    b.ellipse(0.45, 0.6, 0.09, 0.09, _PALE)
    b.ellipse(0.47, 0.6, 0.045, 0.045, _DARK)


def flower(b: Brush) -> None:
    b.line([(0, 0), (0, 0.7)], 0.055, (66, 128, 54))
    b.polygon([(0, 0.2), (0.28, 0.4), (0.08, 0.42)], (66, 128, 54))
    b.polygon([(0, 0.1), (-0.26, 0.3), (-0.06, 0.34)], (66, 128, 54))
    num_petals = 5 + int(3 * b.look.variant)
    for i in range(num_petals):
        angle = 2 * math.pi * i / num_petals + 0.3
        b.ellipse(0.16 * math.cos(angle), 0.76 + 0.16 * math.sin(angle), 0.115, 0.115, b.look.color)
    b.ellipse(0, 0.76, 0.1, 0.1, (250, 206, 70))


def mushroom(b: Brush) -> None:
    b.polygon([(-0.16, 0), (0.16, 0), (0.11, 0.5), (-0.11, 0.5)], _PALE)
    b.ellipse(0, 0.48, 0.5, 0.5, b.look.color, arc=(0, 180))
    for x, y, radius in ((-0.24, 0.62, 0.07), (0.04, 0.78, 0.08), (0.27, 0.6, 0.06)):
        b.ellipse(x, y, radius, radius, _PALE)


def balloon(b: Brush) -> None:
    b.line([(-0.1, 0.14), (-0.2, 0.42)], 0.015, _DARK)
    b.line([(0.1, 0.14), (0.2, 0.42)], 0.015, _DARK)
    b.polygon([(-0.24, 0.42), (0.24, 0.42), (0.08, 0.26), (-0.08, 0.26)], toned(b.look.color, 0.8))
    b.ellipse(0, 0.66, 0.36, 0.34, b.look.color, is_body=True)
    b.ellipse(0, 0.66, 0.12, 0.34, _middle_stripe(b))
    b.box(-0.1, 0, 0.1, 0.15, _WOOD)


def _middle_stripe(b: Brush) -> Rgb:
    """The band down the middle of a balloon."""
    return _PALE if b.look.variant < 0.5 else toned(b.look.color, 0.7)


def airplane(b: Brush) -> None:
    body = b.look.color
    b.polygon([(-1.2, 0.45), (-1.45, 1.0), (-1.15, 1.0), (-0.8, 0.5)], toned(body, 0.8))
    b.ellipse(0, 0.45, 1.4, 0.22, body, is_body=True)
    b.polygon([(-0.35, 0.45), (0.35, 0.45), (-0.35, 0.0), (-0.65, 0.0)], toned(body, 0.7))
    for i in range(5):
        b.ellipse(-0.5 + 0.26 * i, 0.52, 0.06, 0.06, (90, 140, 180))
    b.polygon([(1.0, 0.6), (1.25, 0.52), (1.0, 0.47)], (90, 140, 180))


def tent(b: Brush) -> None:
    b.polygon([(-0.95, 0), (-0.2, 1), (0.65, 0.9), (1.1, 0)], toned(b.look.color, 0.78))
    b.polygon([(-0.95, 0), (-0.2, 1), (0.5, 0)], b.look.color, is_body=True)
    b.polygon([(-0.42, 0), (-0.2, 0.62), (0.04, 0)], toned(b.look.color, 0.4))


def umbrella(b: Brush) -> None:
    b.line([(0, 0), (0, 0.96)], 0.035, _WOOD)
    b.ellipse(0, 0.58, 0.56, 0.4, b.look.color, arc=(0, 180), is_body=True)
    for x in (-0.38, 0.0, 0.38):
        b.ellipse(x, 0.58, 0.18, 0.08, toned(b.look.color, 0.75), arc=(0, 180))


def lighthouse(b: Brush) -> None:
    b.polygon([(-0.18, 0), (0.18, 0), (0.11, 0.76), (-0.11, 0.76)], _PALE)
    for bottom in (0.12, 0.42):
        half = 0.18 - 0.092 * bottom
        top = bottom + 0.16
        b.polygon(
            [(-half, bottom), (half, bottom), (half - 0.015, top), (-half + 0.015, top)],
            b.look.color,
        )
    b.box(-0.15, 0.76, 0.15, 0.8, _DARK)
    b.box(-0.085, 0.8, 0.085, 0.9, (250, 226, 120))
    b.polygon([(-0.13, 0.9), (0.13, 0.9), (0, 1.0)], b.look.color)


def rock(b: Brush) -> None:
    gray = (128 + int(30 * b.look.variant), 124, 122)
    lean = 0.3 * (b.look.variant - 0.5)
    b.polygon(
        [(-0.75, 0), (-0.66, 0.45), (-0.3 + lean, 0.92), (0.25 + lean, 1), (0.66, 0.55), (0.8, 0)],
        gray,
    )
    b.polygon([(0.25 + lean, 1), (0.66, 0.55), (0.8, 0), (0.2, 0.1)], toned(gray, 0.8))
    b.polygon([(-0.3 + lean, 0.92), (0.25 + lean, 1), (0.1, 0.6), (-0.35, 0.55)], toned(gray, 1.14))


def cactus(b: Brush) -> None:
    green = (66, 130 + int(24 * b.look.variant), 76)
    b.line([(-0.26, 0.72), (-0.26, 0.42), (0, 0.36)], 0.11, green)
    b.line([(0.27, 0.84), (0.27, 0.54), (0, 0.48)], 0.11, green)
    b.box(-0.1, 0, 0.1, 0.9, green)
    b.ellipse(0, 0.9, 0.1, 0.1, green)
    b.line([(-0.035, 0.02), (-0.035, 0.92)], 0.02, toned(green, 0.8))
    b.line([(0.035, 0.02), (0.035, 0.92)], 0.02, toned(green, 0.8))


def bench(b: Brush) -> None:
    dark = toned(b.look.color, 0.6)
    for x in (-0.85, 0.85):
        b.box(x - 0.06, 0, x + 0.06, 0.5, dark)
        b.box(x - 0.05, 0.5, x + 0.05, 1.0, dark)
    b.box(-1.05, 0.42, 1.05, 0.54, b.look.color)
    b.box(-1.05, 0.64, 1.05, 0.76, b.look.color)
    b.box(-1.05, 0.84, 1.05, 0.96, b.look.color)
