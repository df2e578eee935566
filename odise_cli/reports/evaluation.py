"""What `odise evaluate` found: figures and how they were measured, as JSON and as Markdown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:  # `odise --help` reads this module, and has no time for numpy
    from odise_cli.structures import Count

RECALL: Final = "AR@100"
"""The figure of instances whatever they are called, where a benchmark has it."""
MEASURES: Final = {"panoptic": "PQ", "instances": "mAP", "semantic": "mIoU"}
"""The headline figure of each kind of labels."""


@dataclass(frozen=True, kw_only=True)
class SelfCheckReport:
    """What `odise evaluate --self-check` found of a dataset."""

    dataset: str
    counts: "tuple[Count, ...]"

    @property
    def exit_code(self) -> int:
        """0 if everything is there, 5 if something is missing."""
        return 0 if all(count.is_complete for count in self.counts) else 5

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "dataset": self.dataset,
            "is_complete": self.exit_code == 0,
            "counts": [{**asdict(count), "missing": list(count.missing)} for count in self.counts],
        }


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What `odise evaluate` measured; figures are percentages, None where there is nothing."""

    SCHEMA: ClassVar[str] = "odise-evaluation/1"
    """Of `report.json`: fields are added under this number, never renamed or removed."""

    dataset: str
    num_images: int
    """Images that were scored."""
    num_dataset_images: int
    """Images of the whole dataset, as published where its owner says."""
    figures: Mapping[str, float | None]
    """By name: PQ, SQ, RQ with _things, _stuff, _with_truth; mAP, AP50 …; mIoU, fwIoU …"""
    published: Mapping[str, Mapping[str, float]]
    """By model: what others measured on the whole dataset."""
    seen_split: Mapping[str, Mapping[str, Mapping[str, float | int | None]]]
    """By rule (exact_name, normalised_name), then seen and unseen."""
    categories: Sequence[Mapping[str, Any]]
    """The figures of each category."""
    without_truth: Mapping[str, Sequence[str]]
    """By what was measured: the names of categories without ground truth."""
    confusions: Mapping[str, Sequence[Mapping[str, Any]]]
    """By what was measured (panoptic, semantic): pairs of categories, the costliest first."""
    images: Mapping[str, Any]
    """`measure` (PQ, mIoU or None), `worst` and `best`: each image's name and own `value`."""
    protocol: Mapping[str, Any]
    notices: tuple[str, ...]
    """What has to be known with the figures."""
    failures: tuple[tuple[str, str], ...] = ()
    """(name, error) of the images that were to be scored and have no prediction."""
    out: Path | None = None
    """Where the report was written."""

    @property
    def is_subset(self) -> bool:
        """Not the whole dataset was scored."""
        return self.num_images != self.num_dataset_images

    @property
    def exit_code(self) -> int:
        """0 if every image was scored, 3 if some have failed."""
        return 3 if self.failures else 0

    @property
    def title(self) -> str:
        """What was scored; a subset says so."""
        if self.is_subset:
            return (
                f"{self.dataset}: SUBSET of {self.num_images:,} of "
                f"{self.num_dataset_images:,} images"
            )
        return f"{self.dataset}: {self.num_images:,} images"

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values, by the schema of `SCHEMA`."""
        return {
            "schema": self.SCHEMA,
            "title": self.title,
            "dataset": self.dataset,
            "is_subset": self.is_subset,
            "num_images": self.num_images,
            "num_dataset_images": self.num_dataset_images,
            "unit": "percent",
            "figures": dict(self.figures),
            "published": {
                "unit": "percent",
                "note": "measured by others on the whole dataset",
                "models": {model: dict(values) for model, values in self.published.items()},
            },
            "seen_split": {
                rule: {side: dict(values) for side, values in sides.items()}
                for rule, sides in self.seen_split.items()
            },
            "without_truth": {name: list(names) for name, names in self.without_truth.items()},
            "confusions": {
                name: [dict(row) for row in rows] for name, rows in self.confusions.items()
            },
            "images": dict(self.images),
            "protocol": dict(self.protocol),
            "notices": list(self.notices),
            "failures": [{"name": name, "error": error} for name, error in self.failures],
            "categories": [dict(row) for row in self.categories],
        }

    def to_markdown(self) -> str:
        """The report for people: every figure of `report.json`."""
        parts = [
            f"# {_markdown_text(self.title)}",
            *(f"> {_markdown_text(notice)}" for notice in self.notices),
            _markdown_table(*self.headline_table()),
            self.published_note,
            *(
                ("## Seen and unseen in training", _markdown_table(*self.split_table()))
                if self.seen_split
                else ()
            ),
            "## Protocol",
            "\n".join(f"- {_markdown_text(line)}" for line in self.protocol_lines()),
        ]
        for measure, rows in self.confusions.items():
            if rows:
                parts += [
                    f"## Wrong names that cost most {MEASURES[measure]}",
                    confusion_note(measure),
                    _markdown_table(*self.confusion_table(measure)),
                ]
        for side in ("worst", "best"):
            if self.images[side]:
                parts += [
                    f"## Images with the {side} {self.images['measure']} of their own",
                    _markdown_table(*self.image_table(side)),
                ]
        if self.categories:
            parts += ["## Categories", _markdown_table(*self.category_table())]
        for measure, names in self.without_truth.items():
            if names:
                listed = ", ".join(_markdown_text(name) for name in names)
                parts.append(f"{self.absence_note(measure)}: {listed}.")
        return "\n\n".join(parts) + "\n"

    @property
    def published_note(self) -> str:
        """What the published figures are, and whether they compare."""
        if not self.published:
            return "Nobody's published figures are known for this dataset."
        note = "Published figures were measured by others on the whole dataset."
        if self.is_subset:
            note += " This run scored a subset: its figures do not compare with them."
        return note

    def absence_note(self, measure: str) -> str:
        """How many categories have no ground truth, and in which averages they are."""
        names = set(self.without_truth[measure])
        count = f"{len(names):,} {'category' if len(names) == 1 else 'categories'}"
        note = f"{count} without ground truth ({measure}): in no average"
        spurious = [row for row in self.categories if row["name"] in names and row.get("PQ") == 0]
        if measure == "panoptic" and spurious:
            note += (
                f" but the official PQ, SQ and RQ, in which the {len(spurious):,} with false "
                "positives count as 0; PQ_with_truth is without them"
            )
        return note

    def headline_table(self) -> tuple[list[str], list[list[str]]]:
        """Column names and rows: each figure, ours and the published ones of the same model.

        A model that nobody has published figures of stands beside those of all others.
        """
        own = self.protocol["model"]
        models = [own] if own in self.published else list(self.published)
        rows = [
            [name, figure_text(value), *(figure_text(self.published[m].get(name)) for m in models)]
            for name, value in self.figures.items()
            # Where every category has ground truth these are the official figures once more.
            if not name.endswith("_with_truth")
            or value != self.figures[name.removesuffix("_with_truth")]
        ]
        return ["figure", "this run", *(f"published ({model})" for model in models)], rows

    def split_table(self) -> tuple[list[str], list[list[str]]]:
        """Column names and rows: the headline figures of seen and unseen categories."""
        rows, names = [], []
        for rule, sides in self.seen_split.items():
            for side, values in sides.items():
                names = [name for name in values if not name.startswith("num_")]
                rows.append(
                    [
                        f"{side} by {rule.replace('_', ' ')}",
                        str(values["num_categories"]),
                        str(values["num_with_truth"]),
                        *(figure_text(values[name]) for name in names),
                    ]
                )
        return ["categories", "number", "with truth", *names], rows

    def category_table(self) -> tuple[list[str], list[list[str]]]:
        """Column names and rows: every category that anything is known of."""
        names = [name for name in self.categories[0] if name not in ("id", "name", "isthing")]
        rows = [
            [
                str(row["id"]),
                row["name"],
                "thing" if row["isthing"] else "stuff",
                *(
                    f"{row[name]:,}" if name.startswith("num_") else figure_text(row[name])
                    for name in names
                ),
            ]
            for row in self.categories
        ]
        return ["id", "category", "kind", *names], rows

    def confusion_table(self, measure: str) -> tuple[list[str], list[list[str]]]:
        """Column names and rows: what was taken for what, how often, and what it costs."""
        unit = "segments" if measure == "panoptic" else "pixels"
        rows = [
            [
                row["true"],
                "(nothing)" if row["predicted"] is None else row["predicted"],
                f"{row['num_segments' if measure == 'panoptic' else 'num_px']:,}",
                figure_text(row["cost"]),
            ]
            for row in self.confusions[measure]
        ]
        return ["is", "was named", unit, f"costs {MEASURES[measure]}"], rows

    def image_table(self, side: str) -> tuple[list[str], list[list[str]]]:
        """Column names and rows: the images of one end of the ranking, with their own figure."""
        rows = [[row["name"], figure_text(row["value"])] for row in self.images[side]]
        return ["image", self.images["measure"]], rows

    def protocol_lines(self) -> list[str]:
        """What the figures were measured with, a line each."""
        protocol = self.protocol
        resize = protocol["resized_for_the_model"]
        size = f"scored at {protocol['scored_at']}"
        if resize:
            size += (
                f"; the model saw a short side of {resize['short_side_px']}, a long side of at "
                f"most {resize['long_side_px']}"
            )
        lines = [
            f"images: {self.num_images:,} of {self.num_dataset_images:,}, {size}",
            f"vocabulary: {', '.join(protocol['vocabulary'])}, {protocol['num_categories']:,} "
            f"categories, sha256 {protocol['vocabulary_sha256'][:16]}",
            f"predictions: {protocol['predictions']}, model {protocol['model']}, settings "
            f"{protocol['predictions_settings_sha256'][:16]}",
        ]
        lines += [
            f"without ground truth ({name}): {len(names):,} categories"
            for name, names in self.without_truth.items()
        ]
        measured = [MEASURES[name] for name in self.without_truth]
        measured += [RECALL] if RECALL in self.figures else []
        rules = protocol["rules"]
        lines += [f"{name}: {rules[name]}" for name in measured if name in rules]
        return lines


def confusion_note(measure: str) -> str:
    """What the cost of a confusion is."""
    what = {
        "panoptic": "segments that overlap one of another category with an IoU > 0.5",
        "semantic": "pixels of one category that were given another",
    }[measure]
    return (
        f"Of {what}. The cost is how many points of {MEASURES[measure]} naming them right would "
        "have gained, all else being equal; costs of several pairs do not add up."
    )


def figure_text(value: float | None) -> str:
    """A percentage with two decimals; a dash where there is nothing to average."""
    return "–" if value is None else f"{value:.2f}"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[_markdown_text(cell) for cell in line] for line in (columns, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_text(text: str) -> str:
    """On one line, with nothing in it that ends a cell or begins an HTML tag or entity."""
    return re.sub(r"([\\|<&])", r"\\\1", " ".join(text.split()))
