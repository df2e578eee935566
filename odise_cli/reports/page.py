"""The report of an evaluation as one page: no other file, no request, no framework.

Knows reports and pictures; does not know where they come from. The parts that are not text are
in `page.html`, `page.css` and `page.js`. Whatever comes from a dataset, a vocabulary or a path
is escaped here, and a policy in the page lets no other script run.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

from odise_cli.reports.chart import Point, frequency_chart, mean_of_groups
from odise_cli.reports.evaluation import (
    MEASURES,
    RECALL,
    EvaluationReport,
    confusion_note,
    figure_text,
)

_COLUMNS: Final = {
    "SQ": "Segmentation quality: mean IoU of the matched segments",
    "RQ": "Recognition quality: F1 of the matching",
    "PQ": "Panoptic quality: SQ × RQ",
    "AP": "Mask average precision over IoU 0.50 to 0.95",
    "AP50": "Mask average precision at IoU 0.50",
    "IoU": "Intersection over union of the pixels",
    "accuracy": "Share of the category's pixels that were found",
    "num_matched": "Segments that were found and named right",
    "num_spurious": "Predicted segments without a partner",
    "num_missed": "True segments without a partner",
    "num_true_px": "Pixels of the category in the ground truth",
}
"""What the columns of the table of categories are."""
_METERS: Final = ("PQ", "AP", "IoU")
"""Columns with a bar behind the number."""
_SOURCE: Final = (
    "Published figures: J. Xu et al., “Open-Vocabulary Panoptic Segmentation with Text-to-Image "
    "Diffusion Models”, CVPR 2023, and its model zoo."
)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """One image to look at, three times; each is a JPEG."""

    photo: bytes | None
    """None where the photograph could not be found."""
    truth: bytes
    predicted: bytes


def evaluation_page(report: EvaluationReport, pictures: Mapping[str, Pictures]) -> str:
    """The page.

    Args:
        report: what was measured.
        pictures: of the ranked images, by name; those without are listed only.
    """
    sections = {
        "figures": ("Figures", _figures(report)),
        "frequency": _frequency(report),
        "confusions": ("Wrong names that cost most", _confusions(report)),
        "images": ("Worst and best images", _images(report, pictures)),
        "categories": ("Categories", _categories(report)),
        "protocol": ("Protocol", _protocol(report)),
    }
    shown = {name: (heading, body) for name, (heading, body) in sections.items() if body}
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(f"\n{script}".encode()).digest()).decode()
    return Template(_part("page.html")).substitute(
        policy=(
            f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
            "img-src data:; base-uri 'none'; form-action 'none'"
        ),
        title=_text(report.title),
        lead=_lead(report),
        banners="\n".join(
            f'<p class="banner">{text}</p>'
            for text in (*_subset(report), *(_text(notice) for notice in report.notices))
        ),
        navigation="".join(
            f'<a href="#{name}">{heading}</a>' for name, (heading, _) in shown.items()
        ),
        sections="\n".join(
            f'<section id="{name}">\n<h2>{heading}</h2>\n{body}\n</section>'
            for name, (heading, body) in shown.items()
        ),
        footer=_SOURCE if report.published else escape(report.published_note),
        style=_part("page.css"),
        script=script,
    )


def _part(name: str) -> str:
    return (files("odise_cli.reports") / name).read_text(encoding="utf-8")


def _text(text: str) -> str:
    """Anybody's text inside an element or a quoted attribute."""
    return escape(" ".join(text.split()))


def _lead(report: EvaluationReport) -> str:
    measured = ", ".join(MEASURES[name] for name in report.without_truth) or RECALL
    return _text(
        f"{measured} of the model {report.protocol['model']} on {report.num_images:,} images, "
        f"{report.protocol['num_categories']:,} categories. All figures are percentages."
    )


def _subset(report: EvaluationReport) -> list[str]:
    if not report.is_subset:
        return []
    return [
        f"<strong>Subset.</strong> {report.num_images:,} of {report.num_dataset_images:,} images "
        "were scored. These figures do not compare with figures of the whole dataset."
    ]


def _table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    num_text: int = 1,
    bars: Sequence[float] = (),
) -> str:
    """A plain table.

    Args:
        columns: their names.
        rows: their cells.
        num_text: the first so many columns are words, the rest are numbers.
        bars: percent of the last cell of each row that a bar fills.
    """

    def kind(place: int) -> str:
        if place < num_text:
            return ' class="text"'
        return ' class="published"' if columns[place].startswith("published") else ""

    head = "".join(f"<th{kind(place)}>{_text(text)}</th>" for place, text in enumerate(columns))
    lines = []
    for number, row in enumerate(rows):
        kinds = [kind(place) for place in range(len(row))]
        if bars:
            kinds[-1] = _meter(bars[number])
        cells = (f"<td{kind}>{_text(text)}</td>" for kind, text in zip(kinds, row, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{chr(10).join(lines)}\n</tbody>\n</table></div>"
    )


def _meter(percent: float) -> str:
    """The attributes of a cell with a bar behind its number."""
    return f' class="meter" style="--value:{percent:.1f}%"'


def _figures(report: EvaluationReport) -> str:
    columns, rows = report.headline_table()
    headlines = [row for row in rows if row[0] in MEASURES.values()] or rows[:1]
    own_of = {row[0]: row[1] for row in rows}
    tiles = []
    for name, own, *published in headlines:
        lines = [f'<dt>{_text(name)}, this run</dt>\n<dd class="own">{own}</dd>']
        if (with_truth := own_of.get(f"{name}_with_truth")) is not None:
            lines.append(f"<dd>{with_truth} over categories with ground truth</dd>")
        stated = " · ".join(
            f"{_text(column)}, whole dataset: {_text(value)}"
            for column, value in zip(columns[2:], published, strict=True)
            if value != figure_text(None)
        )
        if stated:
            lines.append(f'<dd class="published">{stated}</dd>')
        tiles.append(f'<div class="tile">{chr(10).join(lines)}</div>')
    return "\n".join(
        (
            f'<dl class="tiles">\n{"".join(tiles)}\n</dl>',
            f'<div class="beside figures"><div>{_table(columns, rows)}</div>',
            f'<div><p class="note">{_text(report.published_note)}</p>',
            *(
                ("<h3>Seen and unseen in training</h3>", _table(*report.split_table()))
                if report.seen_split
                else ()
            ),
            "</div></div>",
        )
    )


def _frequency(report: EvaluationReport) -> tuple[str, str]:
    """Heading and body of the chart; an empty body where there is nothing to draw."""
    measure, unit = ("PQ", "segments") if "panoptic" in report.without_truth else ("IoU", "pixels")
    points = []
    for row in report.categories:
        if unit == "segments":
            frequency = row["num_matched"] + row["num_missed"]
        else:
            frequency = row.get("num_true_px", 0)
        if frequency and row.get(measure) is not None:
            points.append(
                Point(
                    id=row["id"],
                    name=" ".join(row["name"].split()),
                    isthing=row["isthing"],
                    frequency=frequency,
                    percent=row[measure],
                )
            )
    heading = f"{measure} against frequency"
    if not points:
        return heading, ""
    num_absent = len(report.categories) - len(points)
    absent = f"; {num_absent:,} without ground truth are not drawn" if num_absent else ""
    means = " Dashed: the mean of each fifth of the categories." if mean_of_groups(points) else ""
    return heading, (
        f'<p class="note">{len(points):,} categories{absent}. Circles are things, diamonds are '
        f'stuff.{means}</p>\n<div id="chart" style="position:relative">\n'
        f"{frequency_chart(points, measure=measure, unit=unit)}\n</div>"
    )


def _confusions(report: EvaluationReport) -> str:
    parts = []
    for measure, confusions in report.confusions.items():
        if confusions:
            columns, rows = report.confusion_table(measure)
            highest = max(row["cost"] for row in confusions) or 1.0
            bars = [100 * row["cost"] / highest for row in confusions]
            parts += [
                f"<div><h3>In {MEASURES[measure]}</h3>",
                f'<p class="note">{_text(confusion_note(measure))}</p>',
                _table(columns, rows, num_text=2, bars=bars) + "</div>",
            ]
    if not parts:
        return ""
    return "\n".join(('<div class="beside">', *parts, "</div>"))


def _images(report: EvaluationReport, pictures: Mapping[str, Pictures]) -> str:
    measure, parts = report.images["measure"], []
    for side in ("worst", "best"):
        if report.images[side]:
            parts.append(f"<h3>{side.capitalize()} images</h3>")
        for row in report.images[side]:
            title = f"{_text(row['name'])} · {measure} <b>{figure_text(row['value'])}</b>"
            shown = _triple(row["name"], pictures[row["name"]]) if row["name"] in pictures else ""
            parts.append(f'<figure><p class="pair-title">{title}</p>{shown}</figure>')
    if not parts:
        return ""
    note = (
        f"By the {measure} that each image has alone, by the rules of the whole. Prediction and "
        "ground truth share the vocabulary's colours; what is void has none."
    )
    return "\n".join((f'<p class="note">{note}</p>', *parts))


def _triple(name: str, pictures: Pictures) -> str:
    shown = []
    for caption, jpeg in (
        ("image", pictures.photo),
        ("ground truth", pictures.truth),
        ("prediction", pictures.predicted),
    ):
        if jpeg is None:
            picture = '<div class="absent">The photograph was not found.</div>'
        else:
            data = base64.b64encode(jpeg).decode("ascii")
            picture = (
                f'<img src="data:image/jpeg;base64,{data}" alt="{_text(f"{caption} of {name}")}">'
            )
        shown.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return f'<div class="triple">{"".join(shown)}</div>'


def _categories(report: EvaluationReport) -> str:
    if not report.categories:
        return ""
    names = [name for name in report.categories[0] if name not in ("id", "name", "isthing")]
    headers = [
        _header("id", "id", "The id in files", is_number=True),
        _header("category", "category", "The first of its words", is_number=False),
        _header("kind", "kind", "Things can be counted, stuff cannot", is_number=False),
        *(
            _header(
                name,
                name.removeprefix("num_").replace("_", " "),
                _COLUMNS.get(name, name),
                is_number=True,
            )
            for name in names
        ),
    ]
    rows = []
    for row in report.categories:
        kind = "thing" if row["isthing"] else "stuff"
        has_truth = any(
            row["name"] not in names
            for measure, names in report.without_truth.items()
            # Of stuff nobody expects instances: it is not listed, and has none.
            if row["isthing"] or measure != "instances"
        )
        cells = "".join(_cell(name, row[name]) for name in names)
        rows.append(
            f'<tr id="category-{row["id"]}" data-name="{_text(row["name"].lower())}" '
            f'data-kind="{kind}" data-truth="{int(has_truth)}">'
            f'<td data-value="{row["id"]}">{row["id"]}</td>'
            f'<th scope="row" class="text">{_text(row["name"])}</th>'
            f'<td class="text">{kind}</td>{cells}</tr>'
        )
    return _CONTROLS + (
        '<div class="scroll"><table id="categories-table">\n'
        f"<thead><tr>{''.join(headers)}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table></div>"
    )


_CONTROLS: Final = """<div class="controls needs-script">
<label>Name <input type="search" id="filter-name" autocomplete="off"></label>
<label>Kind <select id="filter-kind"><option value="">all</option><option>thing</option>\
<option>stuff</option></select></label>
<label><input type="checkbox" id="filter-truth"> with ground truth only</label>
<output id="filter-count" aria-live="polite"></output>
</div>
"""


def _header(column: str, label: str, title: str, *, is_number: bool) -> str:
    kind = ' data-number=""' if is_number else ' class="text"'
    return (
        f'<th scope="col" data-column="{_text(column)}"{kind} title="{_text(title)}">'
        f'<button type="button">{_text(label)}</button></th>'
    )


def _label(name: str) -> str:
    return name.removeprefix("num_").removesuffix("_px").replace("_", " ")


def _cell(name: str, value: Any) -> str:
    if name.startswith("num_"):
        return f'<td data-value="{value}">{value:,}</td>'
    if value is None:
        return f'<td data-value="">{figure_text(None)}</td>'
    meter = _meter(value) if name in _METERS else ""
    return f'<td data-value="{value}"{meter}>{figure_text(value)}</td>'


def _protocol(report: EvaluationReport) -> str:
    lines = []
    for line in report.protocol_lines():
        term, _, description = line.partition(": ")
        lines.append(f"<dt>{_text(term)}</dt><dd>{_text(description)}</dd>")
    absent = [
        f"<details><summary>{_text(report.absence_note(measure))}</summary>\n"
        f"<p>{_text(', '.join(names))}</p></details>"
        for measure, names in report.without_truth.items()
        if names
    ]
    return "\n".join((f'<dl class="protocol">{"".join(lines)}</dl>', *absent))
