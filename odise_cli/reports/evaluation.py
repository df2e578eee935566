"""What `odise evaluate` found: figures and how they were measured, as JSON and as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:  # `odise --help` reads this module, and has no time for numpy
    from odise_cli.structures import Count


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
    protocol: Mapping[str, Any]
    notices: tuple[str, ...]
    """What has to be known with the figures."""
    out: Path | None = None
    """Where the report was written."""

    @property
    def is_subset(self) -> bool:
        """Not the whole dataset was scored."""
        return self.num_images != self.num_dataset_images

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
            "protocol": dict(self.protocol),
            "notices": list(self.notices),
            "categories": [dict(row) for row in self.categories],
        }

    def to_markdown(self) -> str:
        """The report for people: headline figures, protocol, every category."""
        return (
            "\n\n".join(
                (
                    f"# {self.title}",
                    *(f"> {notice}" for notice in self.notices),
                    _markdown_table(*self.headline_table()),
                    "Published figures were measured by others on the whole dataset."
                    if self.published
                    else "Nobody's published figures are known for this dataset.",
                    "## Seen and unseen in training",
                    _markdown_table(*self.split_table()),
                    "## Protocol",
                    "\n".join(f"- {line}" for line in self.protocol_lines()),
                    "## Categories",
                    _markdown_table(*self.category_table()),
                )
            )
            + "\n"
        )

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
        rules = {"panoptic": "PQ", "instances": "mAP", "semantic": "mIoU"}
        lines += [f"{rules[n]}: {protocol['rules'][rules[n]]}" for n in self.without_truth]
        return lines


def figure_text(value: float | None) -> str:
    """A percentage with two decimals; a dash where there is nothing to average."""
    return "–" if value is None else f"{value:.2f}"


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
