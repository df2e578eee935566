"""What is where: a scene is planned from a seed, before a pixel is drawn.

Coordinates are in image heights, x to the right and y down; (0, 0) is the top left corner.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from odise_cli.data.world.brush import Look, Point, Rgb
from odise_cli.data.world.concepts import COLORS, CONCEPTS, PATTERNS, Concept
from odise_cli.data.world.textures import STUFF_COLORS

_BY_NAME = {concept.name: concept for concept in CONCEPTS}
_TRIES = 8
WHOLE = (0.0, 0.0, 1.0)
"""The window that shows all of a scene: left, top, height."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """A piece of stuff; later regions cover earlier ones."""

    concept: Concept
    outline: tuple[Point, ...]
    color: Rgb
    color_name: str = ""
    """Empty where the colour goes without saying."""
    variant: int


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing."""

    concept: Concept
    x: float
    y: float
    """Of its base."""
    height: float
    width: float
    look: Look
    color_name: str
    is_mirrored: bool
    tilt: float
    casts_shadow: bool


@dataclass(frozen=True, kw_only=True)
class ScenePlan:
    """Everything there is to draw, from the back to the front."""

    regions: tuple[Region, ...]
    items: tuple[Item, ...]
    light: float
    """−1 from the left … 1 from the right."""
    tint: tuple[float, float, float]
    """Factors of red, green and blue: the time of day."""
    window: tuple[float, float, float]
    """The part to draw: left, top, height."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """Usual size of a thing, and where it is found."""

    height: float
    aspect: float
    """Width over height."""
    places: str
    """a: air, g: ground, w: water, f: floor, v: wall."""


_KINDS = {
    "house": _Kind(height=0.46, aspect=1.1, places="g"),
    "tree": _Kind(height=0.52, aspect=0.8, places="g"),
    "pine tree": _Kind(height=0.52, aspect=0.64, places="g"),
    "car": _Kind(height=0.19, aspect=2.25, places="g"),
    "bus": _Kind(height=0.28, aspect=2.6, places="g"),
    "boat": _Kind(height=0.34, aspect=1.1, places="w"),
    "sun": _Kind(height=0.18, aspect=1.0, places="a"),
    "moon": _Kind(height=0.17, aspect=0.6, places="a"),
    "cloud": _Kind(height=0.13, aspect=1.8, places="a"),
    "person": _Kind(height=0.34, aspect=0.55, places="gf"),
    "bird": _Kind(height=0.13, aspect=2.0, places="ag"),
    "duck": _Kind(height=0.15, aspect=1.6, places="wg"),
    "fish": _Kind(height=0.12, aspect=1.8, places="w"),
    "flower": _Kind(height=0.24, aspect=0.6, places="gf"),
    "mushroom": _Kind(height=0.2, aspect=1.0, places="g"),
    "balloon": _Kind(height=0.3, aspect=0.75, places="a"),
    "airplane": _Kind(height=0.13, aspect=2.8, places="a"),
    "tent": _Kind(height=0.28, aspect=2.0, places="g"),
    "umbrella": _Kind(height=0.36, aspect=1.1, places="gf"),
    "lighthouse": _Kind(height=0.6, aspect=0.36, places="g"),
    "rock": _Kind(height=0.17, aspect=1.5, places="gw"),
    "cactus": _Kind(height=0.34, aspect=0.65, places="gf"),
    "bench": _Kind(height=0.22, aspect=2.1, places="gf"),
    "ball": _Kind(height=0.15, aspect=1.0, places="gf"),
    "lamp": _Kind(height=0.44, aspect=0.56, places="gf"),
    "table": _Kind(height=0.3, aspect=1.9, places="f"),
    "chair": _Kind(height=0.36, aspect=0.72, places="f"),
    "vase": _Kind(height=0.28, aspect=0.8, places="f"),
    "book": _Kind(height=0.16, aspect=1.5, places="f"),
    "clock": _Kind(height=0.18, aspect=1.0, places="v"),
    "cup": _Kind(height=0.16, aspect=1.2, places="f"),
    "box": _Kind(height=0.22, aspect=1.4, places="gf"),
    "bottle": _Kind(height=0.28, aspect=0.32, places="f"),
    "window": _Kind(height=0.3, aspect=1.0, places="v"),
}
_GROUNDS = ("grass", "sand", "snow", "road", "water")
_DISTANCES = ("mountain", "hedge", "water", "")
_WALLS = ("brick wall", "stone wall", "painted wall")
_FLOORS = ("wooden floor", "tiled floor", "carpet")
_UPRIGHT_TILT = 0.04
_FLYING_TILT = 0.22


def plan_scene(
    rng: np.random.Generator,
    *,
    aspect: float = 1.0,
    without: Collection[str] = (),
    close_up: float = 0.0,
) -> ScenePlan:
    """Plan a scene.

    Args:
        rng: decides everything.
        aspect: width over height.
        without: names of concepts that must not occur; not the sky, nor all walls or floors, nor
            more than two grounds.
        close_up: probability that the picture shows a part of the scene around one thing.
    """
    is_room = rng.random() < 0.36
    plan_background = _plan_room if is_room else _plan_outdoors
    regions, bands = plan_background(rng, aspect, without)
    items = _plan_items(rng, aspect, bands, without)
    window = WHOLE
    if items and rng.random() < close_up:
        window = _window_around(rng, items[rng.integers(len(items))], aspect)
    is_night = not is_room and any(item.concept.name == "moon" for item in items)
    brightness = rng.uniform(0.55, 0.75) if is_night else rng.uniform(0.86, 1.06)
    warmth = rng.uniform(-0.05, 0.07) - 0.08 * is_night
    return ScenePlan(
        regions=regions,
        items=items,
        light=rng.uniform(-1, 1),
        tint=(brightness * (1 + warmth), brightness, brightness * (1 - warmth)),
        window=window,
    )


def _choose(rng: np.random.Generator, names: Sequence[str], without: Collection[str]) -> str:
    allowed = [name for name in names if name not in without]
    return allowed[rng.integers(len(allowed))]


def _region(rng: np.random.Generator, name: str, outline: Sequence[Point]) -> Region:
    concept = _BY_NAME[name]
    color_name = concept.colors[rng.integers(len(concept.colors))] if concept.colors else ""
    colors = STUFF_COLORS.get(name, ())
    color = COLORS[color_name].rgb if color_name else colors[rng.integers(len(colors))]
    return Region(
        concept=concept,
        outline=tuple(outline),
        color=_varied(rng, color, 8),
        color_name=color_name,
        variant=int(rng.integers(100)),
    )


def _below(edge: Sequence[Point], aspect: float) -> list[Point]:
    """Everything under an edge that runs from left to right."""
    return [
        (-0.1, edge[0][1]),
        *edge,
        (aspect + 0.1, edge[-1][1]),
        (aspect + 0.1, 1.1),
        (-0.1, 1.1),
    ]


def _edge(
    rng: np.random.Generator, y: float, aspect: float, *, roughness: float, num_points: int = 24
) -> list[Point]:
    """A line from left to right that goes up and down by about `roughness`."""
    x = np.linspace(-0.05, aspect + 0.05, num_points)
    bumps = np.zeros(num_points)
    for octave in (1.0, 2.3, 5.1):
        bumps += np.sin(octave * 2.2 * x + rng.uniform(0, 6.3)) / octave**0.7
    return list(zip(x, y + roughness * bumps, strict=True))


def _ridge(rng: np.random.Generator, y: float, aspect: float) -> list[Point]:
    """A chain of summits."""
    x, points = -0.1, [(-0.1, y)]
    while x < aspect + 0.1:
        step = rng.uniform(0.12, 0.32)
        points += [(x + step / 2, y - rng.uniform(0.1, 0.32)), (x + step, y - rng.uniform(0, 0.06))]
        x += step
    return points


def _plan_outdoors(
    rng: np.random.Generator, aspect: float, without: Collection[str]
) -> tuple[tuple[Region, ...], dict[str, tuple[float, float]]]:
    horizon = rng.uniform(0.3, 0.58)
    whole = [(-0.1, -0.1), (aspect + 0.1, -0.1), (aspect + 0.1, 1.1), (-0.1, 1.1)]
    is_backed_by_wall = rng.random() < 0.14
    if is_backed_by_wall:
        regions = [_region(rng, _choose(rng, _WALLS, without), whole)]
        distance = ""
    else:
        regions = [_region(rng, "sky", whole)]
        distance = _choose(rng, _DISTANCES, without)
    if distance == "mountain":
        regions.append(_region(rng, distance, _below(_ridge(rng, horizon + 0.02, aspect), aspect)))
    elif distance == "hedge":
        top = horizon - rng.uniform(0.05, 0.14)
        edge = _edge(rng, top, aspect, roughness=0.014, num_points=40)
        regions.append(_region(rng, distance, _below(edge, aspect)))
    elif distance == "water":
        top = horizon - rng.uniform(0.08, 0.16)
        regions.append(_region(rng, distance, _below([(0, top), (aspect, top)], aspect)))
    ground = _choose(rng, [name for name in _GROUNDS if name != distance], without)
    roughness = 0.0 if ground in ("road", "water") else 0.008
    edge = _edge(rng, horizon, aspect, roughness=roughness)
    regions.append(_region(rng, ground, _below(edge, aspect)))
    bands = {"a": (0.03, max(0.16, horizon - 0.08)), "g": (horizon + 0.04, 1.0)}
    if is_backed_by_wall:
        del bands["a"]
        bands["v"] = (0.06, horizon - 0.05)
    if ground == "water":
        bands["w"] = bands.pop("g")
    elif distance == "water":
        bands["w"] = (top + 0.06, horizon)
    if ground != "water" and rng.random() < 0.4:
        bands |= _second_ground(rng, aspect, horizon, ground, without, regions)
    return tuple(regions), bands


def _second_ground(
    rng: np.random.Generator,
    aspect: float,
    horizon: float,
    first: str,
    without: Collection[str],
    regions: list[Region],
) -> dict[str, tuple[float, float]]:
    """Another ground in front of the first, or a strip across it."""
    name = _choose(rng, [name for name in _GROUNDS if name != first], without)
    top = rng.uniform(horizon + 0.16, 0.82)
    slope = rng.uniform(-0.06, 0.06)
    edge = [(x, y + slope * x) for x, y in _edge(rng, top, aspect, roughness=0.006)]
    bottom = _below(edge, aspect)
    if name == "road" or rng.random() < 0.3:
        depth = rng.uniform(0.14, 0.24)
        bottom = [*edge, *((x, y + depth) for x, y in reversed(edge))]
    regions.append(_region(rng, name, bottom))
    return {"w": (top + 0.1, 0.99), "g": (horizon + 0.04, top)} if name == "water" else {}


def _plan_room(
    rng: np.random.Generator, aspect: float, without: Collection[str]
) -> tuple[tuple[Region, ...], dict[str, tuple[float, float]]]:
    level = rng.uniform(0.46, 0.72)
    whole = [(-0.1, -0.1), (aspect + 0.1, -0.1), (aspect + 0.1, 1.1), (-0.1, 1.1)]
    floor = _choose(rng, _FLOORS, without)
    regions = [
        _region(rng, _choose(rng, _WALLS, without), whole),
        _region(rng, floor, _below([(0, level), (aspect, level)], aspect)),
    ]
    if floor != "carpet" and "carpet" not in without and rng.random() < 0.35:
        middle, half = rng.uniform(0.3, 0.7) * aspect, rng.uniform(0.25, 0.42) * aspect
        top, bottom = level + rng.uniform(0.06, 0.12), rng.uniform(0.86, 0.98)
        outline = [(middle - 0.75 * half, top), (middle + 0.75 * half, top)]
        outline += [(middle + half, bottom), (middle - half, bottom)]
        regions.append(_region(rng, "carpet", outline))
    return tuple(regions), {"f": (level + 0.05, 1.0), "v": (0.08, level - 0.08)}


def _plan_items(
    rng: np.random.Generator,
    aspect: float,
    bands: dict[str, tuple[float, float]],
    without: Collection[str],
) -> tuple[Item, ...]:
    candidates = [
        name
        for name, kind in _KINDS.items()
        if name not in without and any(place in bands for place in kind.places)
    ]
    kinds = rng.choice(
        candidates, size=min(len(candidates), int(rng.integers(2, 6))), replace=False
    )
    placed: list[Item] = []
    for name in kinds:
        is_single = name in ("sun", "moon")
        num_items = 1 if is_single else int(rng.choice([1, 1, 1, 2, 2, 3]))
        pattern = str(rng.choice(list(PATTERNS), p=[0.7, 0.1, 0.1, 0.1]))
        colors = _BY_NAME[name].colors
        color_name = colors[rng.integers(len(colors))] if colors else ""
        for _ in range(num_items):
            if colors and rng.random() < 0.3:
                color_name = colors[rng.integers(len(colors))]
            item = _place(rng, str(name), color_name, pattern, aspect, bands, placed)
            if item is not None:
                placed.append(item)
    in_air = [item for item in placed if not item.casts_shadow]
    on_ground = sorted((item for item in placed if item.casts_shadow), key=lambda item: item.y)
    return (*in_air, *on_ground)


def _place(
    rng: np.random.Generator,
    name: str,
    color_name: str,
    pattern: str,
    aspect: float,
    bands: dict[str, tuple[float, float]],
    placed: Sequence[Item],
) -> Item | None:
    """Find room for a thing; None if the tries are used up."""
    kind = _KINDS[name]
    places = [place for place in kind.places if place in bands]
    place = places[rng.integers(len(places))]
    top, bottom = bands[place]
    for _ in range(_TRIES):
        height = kind.height * rng.uniform(0.75, 1.25)
        if place in "gw":
            y = top + (bottom - top) * math.sqrt(rng.random())
            height *= 0.42 + 0.72 * (y - 0.3) / 0.7
        elif place == "f":
            y = rng.uniform(top, bottom)
            height *= 0.85 + 0.5 * (y - top)
        else:
            y = rng.uniform(top + height, max(top + height, bottom))
        width = kind.aspect * height
        x = rng.uniform(0.3 * width, aspect - 0.3 * width) if width < 1.6 * aspect else aspect / 2
        if all(_overlap(x, y, width, height, other) < 0.4 for other in placed):
            break
    else:
        return None
    base = COLORS[color_name].rgb if color_name else (128, 128, 128)
    max_tilt = _FLYING_TILT if place == "a" and name != "cloud" else _UPRIGHT_TILT
    return Item(
        concept=_BY_NAME[name],
        x=x,
        y=y,
        height=height,
        width=width,
        look=Look(color=_varied(rng, base, 12), pattern=pattern, variant=rng.random()),
        color_name=color_name,
        is_mirrored=bool(rng.random() < 0.5),
        tilt=rng.uniform(-max_tilt, max_tilt),
        casts_shadow=place in "gwf",
    )


def _overlap(x: float, y: float, width: float, height: float, other: Item) -> float:
    """Common part of two things' frames, relative to the smaller."""
    across = min(x + width / 2, other.x + other.width / 2) - max(
        x - width / 2, other.x - other.width / 2
    )
    down = min(y, other.y) - max(y - height, other.y - other.height)
    smaller = min(width * height, other.width * other.height)
    return max(0.0, across) * max(0.0, down) / smaller


def _window_around(
    rng: np.random.Generator, item: Item, aspect: float
) -> tuple[float, float, float]:
    """Left, top and height of a window with the item in it."""
    extent = max(item.height, item.width / aspect)
    height = min(1.0, extent * rng.uniform(1.15, 3.0))
    x = item.x + rng.uniform(-0.2, 0.2) * height
    y = item.y - item.height / 2 + rng.uniform(-0.15, 0.15) * height
    left = min(max(0.0, x - aspect * height / 2), aspect * (1 - height))
    top = min(max(0.0, y - height / 2), 1 - height)
    return left, top, height


def _varied(rng: np.random.Generator, color: Rgb, spread: float) -> Rgb:
    """A colour that is nearly the same."""
    red, green, blue = np.clip(color + rng.normal(0, spread, 3), 0, 255).astype(int).tolist()
    return red, green, blue
