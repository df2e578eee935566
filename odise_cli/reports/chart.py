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
_RADIUS = 4.5
_MARGIN = 1.3
"""How much further than the points the axis reaches, as a factor of the frequency."""
_NUM_NAMES = 14
_NAME_H, _LETTER_W = 13.0, 6.2
"""Of a name beside its point, in units of the drawing; letters are this wide at most often."""
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
    low, high = min(frequencies) / _MARGIN, max(frequencies) * _MARGIN
    places = [(_x(point.frequency, low, high), _y(point.percent)) for point in points]
    title = f"{measure} of each category against the number of its {unit} in the ground truth"
    return "\n".join(
        (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="group" aria-label="{escape(title)}">',
            *_axes(low, high, measure=measure, unit=unit),
            *_means(points, places),
            *(
                _mark(point, place, measure=measure, unit=unit)
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


def _x(frequency: float, low: float, high: float) -> float:
    return _LEFT + _PLOT_W * math.log(frequency / low) / math.log(high / low)


def _y(percent: float) -> float:
    return _TOP + _PLOT_H * (1 - percent / 100)


def _ticks(low: float, high: float) -> list[int]:
    """Numbers on the axis: 1, 2, 5, 10 … or, over more than a thousandfold, 1, 10, 100 and on."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    powers = range(math.floor(math.log10(high)) + 1)
    return [
        step * 10**power for power in powers for step in steps if low <= step * 10**power <= high
    ]


def _axes(low: float, high: float, *, measure: str, unit: str) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    lines = []
    for percent in range(0, 101, 20):
        y = _y(percent)
        lines.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
    for tick in _ticks(low, high):
        x = _x(tick, low, high)
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


def _means(points: Sequence[Point], places: Sequence[tuple[float, float]]) -> list[str]:
    x_of = {point.id: x for point, (x, _) in zip(points, places, strict=True)}
    lines = []
    for first, last, mean in mean_of_groups(points):
        y = _y(mean)
        lines.append(
            f'<line class="mean" x1="{x_of[first.id] - _RADIUS:.1f}" y1="{y:.1f}" '
            f'x2="{x_of[last.id] + _RADIUS:.1f}" y2="{y:.1f}"/>'
        )
    return lines


def _mark(point: Point, place: tuple[float, float], *, measure: str, unit: str) -> str:
    """Circles are things, diamonds are stuff: told apart without colours too."""
    x, y = place
    kind = "thing" if point.isthing else "stuff"
    says = f"{point.name} ({kind}): {measure} {point.percent:.2f}, {point.frequency:,} {unit}"
    if point.isthing:
        shape = f'<circle class="point thing" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/>'
    else:
        shape = f'<path class="point stuff" d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5-5.5 5.5-5.5-5.5z"/>'
    # Not a stop of the Tab key: the table has the same figures in less than a thousand stops.
    return f'<a href="#category-{point.id}" tabindex="-1"><title>{escape(says)}</title>{shape}</a>'


def _names(points: Sequence[Point], places: Sequence[tuple[float, float]]) -> list[str]:
    """The names of some categories, the most frequent first, where there is room beside them."""
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    lines: list[str] = []
    for index in sorted(range(len(points)), key=lambda i: (-points[i].frequency, points[i].id)):
        if len(lines) == _NUM_NAMES:
            break
        x, y = places[index]
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
