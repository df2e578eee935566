import re

import pytest

from odise_cli.reports.chart import Point, frequency_chart, mean_of_groups


def point(number, frequency, percent, name=None, isthing=True):
    return Point(
        id=number,
        name=name or f"c{number}",
        isthing=isthing,
        frequency=frequency,
        percent=percent,
    )


def circles(svg):
    return [
        (float(x), float(y))
        for x, y in re.findall(r'<circle [^>]*cx="([\d.]+)" cy="([\d.]+)"', svg)
    ]


def ticks(svg):
    return re.findall(r'text-anchor="middle">([\d,]+)</text>', svg)


def test_frequencies_are_logarithmic_and_figures_are_not():
    points = [point(0, 1, 0.0), point(1, 10, 50.0), point(2, 100, 100.0)]
    (x0, y0), (x1, y1), (x2, y2) = circles(frequency_chart(points, measure="PQ", unit="segments"))
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y0 > y1 > y2
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.11)


@pytest.mark.parametrize(
    ("highest", "levels"),
    [(0.0, [0, 1, 2, 3, 4, 5]), (14.6, [0, 4, 8, 12, 16, 20]), (80.5, [0, 20, 40, 60, 80, 100])],
)
def test_the_other_axis_begins_at_0_and_ends_above_the_points(highest, levels):
    svg = frequency_chart([point(0, 5, highest)], measure="PQ", unit="segments")
    assert [int(n) for n in re.findall(r'text-anchor="end">(\d+)</text>', svg)] == levels
    [(_, y)] = circles(svg)
    assert (378 - y) / (378 - 14) == pytest.approx(highest / levels[-1], abs=0.001)


@pytest.mark.parametrize(
    ("frequencies", "expected"),
    [
        ((7, 7), []),
        ((3, 90), ["5", "10", "20", "50", "100"]),
        ((1, 60_000), ["1", "10", "100", "1,000", "10,000"]),
    ],
)
def test_the_axis_has_round_numbers(frequencies, expected):
    points = [point(number, frequency, 1.0) for number, frequency in enumerate(frequencies)]
    assert ticks(frequency_chart(points, measure="PQ", unit="segments")) == expected


def test_a_point_says_what_it_is_and_leads_to_its_row():
    svg = frequency_chart(
        [point(7, 1234, 56.789, "<b>", isthing=False)], measure="IoU", unit="pixels"
    )
    assert '<a href="#category-7" tabindex="-1">' in svg
    assert "<title>&lt;b&gt; (stuff): IoU 56.79, 1,234 pixels</title>" in svg
    assert 'class="point stuff"' in svg
    assert ">IoU in percent</text>" in svg
    assert ">pixels of the category in the ground truth (logarithmic)</text>" in svg


def test_names_do_not_lie_on_each_other():
    points = [point(0, 100, 50.0, "first"), point(1, 99, 50.5, "second"), point(2, 1, 0.0, "far")]
    svg = frequency_chart(points, measure="PQ", unit="segments")
    assert re.findall(r'class="name"[^>]*>(\w+)<', svg) == ["first", "far"]
    # One on the axis stands above it, and would lie on the other.
    points = [point(0, 100, 1.0, "first"), point(1, 97, 0.0, "second")]
    svg = frequency_chart([*points, point(2, 1, 80.0, "far")], measure="PQ", unit="segments")
    assert re.findall(r'class="name"[^>]*>(\w+)<', svg) == ["first", "far"]


def test_the_mean_of_each_fifth():
    # 15 categories, three in each fifth: 1 2 3 | 4 5 6 | …, the figure 10 times the number.
    points = [point(number, number, 6.0 * number) for number in range(15, 0, -1)]
    groups = mean_of_groups(points)
    assert [(first.id, last.id, mean) for first, last, mean in groups] == [
        (1, 3, 12.0),
        (4, 6, 30.0),
        (7, 9, 48.0),
        (10, 12, 66.0),
        (13, 15, 84.0),
    ]
    assert frequency_chart(points, measure="PQ", unit="segments").count('class="mean"') == 5


def test_few_categories_have_no_fifths():
    assert mean_of_groups([point(number, number + 1, 1.0) for number in range(14)]) == []
