"""A figure of each category against how often it occurs, as an SVG for inside a page.

Knows numbers and names; does not know where they come from. Colours are the page's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

_WIDTH, _HEIGHT = 960, 430
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 14, 52
_PLOT_W, _PLOT_H = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_RADIUS, _SMALL_RADIUS = 4.5, 3.0
_MANY_POINTS = 300
"""From here on points are small, so that fewer lie on each other."""
_MARGIN = 1.3
"""How much further than the points the axis reaches, as a factor of the frequency."""
_TOPS = (5, 10, 20, 40, 60, 80, 100)
"""Percentages at which the other axis may end; it begins at 0."""
_NUM_LEVELS = 5
_NUM_NAMES = 14
_NAME_H, _LETTER_W = 13.0, 6.2
"""Of a name beside its point, in units of the drawing; letters are this wide at most often."""
_LOWEST_NAME = _HEIGHT - _BOTTOM - 7
"""Names of points on the axis stand above it."""
_NUM_GROUPS = 5
_LEAST_GROUP = 3


@dataclass(frozen=True, kw_only=True)
class Point:
    """One category."""

    id: int
    name: str
    isthing: bool
    frequency: int
    """Segments or pixels in the ground truth, from 1."""
    percent: float
    """The figure, 0..100."""


def frequency_chart(points: Sequence[Point], *, measure: str, unit: str) -> str:
    """The drawing as an `svg` element; every point leads to the row of its category.

    Args:
        points: at least one category.
        measure: what the figure is called.
        unit: what is counted.
    """
    frequencies = [point.frequency for point in points]
    scale = _Scale(
        low=min(frequencies) / _MARGIN,
        high=max(frequencies) * _MARGIN,
        top=next(top for top in _TOPS if top >= max(point.percent for point in points)),
    )
    places = [(scale.x(point.frequency), scale.y(point.percent)) for point in points]
    radius = _RADIUS if len(points) < _MANY_POINTS else _SMALL_RADIUS
    title = f"{measure} of each category against the number of its {unit} in the ground truth"
    return "\n".join(
        (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" aria-label="{escape(title)}">',
            *_axes(scale, measure=measure, unit=unit),
            *_means(points, scale),
            *(
                _mark(point, place, radius=radius, measure=measure, unit=unit)
                for point, place in zip(points, places, strict=True)
            ),
            *_names(points, places),
            "</svg>",
        )
    )


def mean_of_groups(points: Sequence[Point]) -> list[tuple[Point, Point, float]]:
    """Rarest and most frequent category of each fifth, and the fifth's mean; none of few."""
    ordered = sorted(points, key=lambda point: (point.frequency, point.id))
    if len(ordered) < _NUM_GROUPS * _LEAST_GROUP:
        return []
    cuts = [round(len(ordered) * k / _NUM_GROUPS) for k in range(_NUM_GROUPS + 1)]
    groups = [ordered[start:end] for start, end in pairwise(cuts)]
    return [
        (group[0], group[-1], sum(point.percent for point in group) / len(group))
        for group in groups
    ]


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """Where frequencies and percentages lie in the drawing."""

    low: float
    high: float
    """Frequencies at the ends of the axis."""
    top: int
    """Percentage at the end of the other."""

    def x(self, frequency: float) -> float:
        return _LEFT + _PLOT_W * math.log(frequency / self.low) / math.log(self.high / self.low)

    def y(self, percent: float) -> float:
        return _TOP + _PLOT_H * (1 - percent / self.top)


def _ticks(low: float, high: float) -> list[int]:
    """Numbers on the axis: 1, 2, 5, 10 … or, over more than a thousandfold, 1, 10, 100 and on."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    powers = range(math.floor(math.log10(high)) + 1)
    return [
        step * 10**power for power in powers for step in steps if low <= step * 10**power <= high
    ]


def _axes(scale: _Scale, *, measure: str, unit: str) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = []
    for level in range(_NUM_LEVELS + 1):
        percent = scale.top * level // _NUM_LEVELS
        y = scale.y(percent)
        lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
    for tick in _ticks(scale.low, scale.high):
        x = scale.x(tick)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,}</text>')
    lines.append(f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{right}" y2="{bottom}"/>')
    lines.append(f'<line class="axis" x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{bottom}"/>')
    middle = _LEFT + _PLOT_W / 2
    lines.append(
        f'<text x="{middle:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(unit)} of the category in the ground truth (logarithmic)</text>"
    )
    middle = _TOP + _PLOT_H / 2
    lines.append(
        f'<text transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(measure)} in percent</text>"
    )
    return lines


def _means(points: Sequence[Point], scale: _Scale) -> list[str]:
    lines = []
    for first, last, mean in mean_of_groups(points):
        y = scale.y(mean)
        lines.append(
            f'<line class="mean" x1="{scale.x(first.frequency) - _RADIUS:.1f}" y1="{y:.1f}" '
            f'x2="{scale.x(last.frequency) + _RADIUS:.1f}" y2="{y:.1f}"/>'
        )
    return lines


def _mark(
    point: Point, place: tuple[float, float], *, radius: float, measure: str, unit: str
) -> str:
    """Circles are things, diamonds are stuff: told apart without colours too."""
    x, y = place
    kind = "thing" if point.isthing else "stuff"
    says = f"{point.name} ({kind}): {measure} {point.percent:.2f}, {point.frequency:,} {unit}"
    if point.isthing:
        shape = f'<circle class="point thing" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
    else:
        # Of about the circle's area.
        r = 1.25 * radius
        corners = f"M{x:.1f} {y - r:.1f}l{r} {r} {-r} {r} {-r} {-r}z"
        shape = f'<path class="point stuff" d="{corners}"/>'
    # Not a stop of the Tab key: the table has the same figures in less than a thousand stops.
    return f'<a href="#category-{point.id}" tabindex="-1"><title>{escape(says)}</title>{shape}</a>'


def _names(points: Sequence[Point], places: Sequence[tuple[float, float]]) -> list[str]:
    """The names of some categories, the most frequent first, where there is room beside them."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    lines: list[str] = []
    for index in sorted(range(len(points)), key=lambda i: (-points[i].frequency, points[i].id)):
        if len(lines) == _NUM_NAMES:
            break
        x, y = places[index][0], min(places[index][1], _LOWEST_NAME)
        width = len(points[index].name) * _LETTER_W
        left, anchor = (x + 9, "start") if x + 9 + width < _WIDTH else (x - 9 - width, "end")
        box = (left, y - _NAME_H / 2, left + width, y + _NAME_H / 2)
        if left < _LEFT or any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
            for other in taken
        ):
            continue
        taken.append(box)
        text_x = left if anchor == "start" else left + width
        lines.append(
            f'<text class="name" x="{text_x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">'
            f"{escape(points[index].name)}</text>"
        )
    return lines
