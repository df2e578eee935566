"""What `odise export` has to say: the result, and the model card that goes with the weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What was exported."""

    out: Path
    format: str
    precision: str
    num_bytes: int
    """All files together."""
    parity: Mapping[str, float] | None
    """How alike the answers are, by figure; None if nobody looked."""
    num_samples: int
    """Pictures that were looked at for it."""

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "out": str(self.out)}


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What people must know of a model before they use it, as a hub shows it."""

    name: str
    """What the folder is called."""
    origin: str
    """What `--model` named."""
    licence: str
    """The hub's identifier of the licence; `other` where the notice or nobody says it."""
    notice: str
    """What users of the weights must see; may be empty."""
    supervision: str
    training_words: tuple[str, ...]
    is_trained: bool
    num_parameters: int
    precision: str
    form: str
    """What the files are, to complete "as …"."""
    evaluation: Mapping[str, Any] | None
    """A `report.json` of the same weights; None without any."""

    def to_markdown(self) -> str:
        """The content of `README.md`."""
        return "\n".join(
            (
                "---",
                f"license: {self.licence}",
                "pipeline_tag: image-segmentation",
                "library_name: odise",
                "tags:",
                "- open-vocabulary",
                "- panoptic-segmentation",
                "---",
                "",
                f"# {self.name}",
                "",
                "Open-vocabulary panoptic segmentation: cuts every object and region out of a "
                "photograph and names it with words that are chosen when it runs. An ODISE model "
                "(Xu et al., CVPR 2023): features of a text-to-image diffusion model, a mask "
                "generator, CLIP.",
                "",
                f"Exported from `{self.origin}`: {self.num_parameters:,} parameters, "
                f"{self.precision}, {self.supervision} supervision, as {self.form}.",
                "",
                "## Licence",
                "",
                self.notice or self._unknown_licence(),
                "",
                "## Training data",
                "",
                *self._training_lines(),
                "",
                "## Figures",
                "",
                *self._figure_lines(),
                "",
                "## Use",
                "",
                "```sh",
                f'odise segment ./imgs --vocab "cat; dog; blue sky, sky" --model ./{self.name} '
                "--out ./preds",
                "```",
                "",
                "`export.json` has the sha256 of every file, and how well the answers of these "
                "files agree with those of the model that they were made from.",
                "",
            )
        )

    def _unknown_licence(self) -> str:
        if self.licence != "other":
            return f"{self.licence}."
        return (
            "Nobody has said under which licence these weights are. Say so here, and in the first "
            "lines of this file, before you publish them."
        )

    def _training_lines(self) -> list[str]:
        if not self.is_trained:
            return ["None: the weights are initialised, not trained."]
        if not self.training_words:
            return ["Not recorded: no training vocabulary is stored with the model."]
        return [
            f"The head was taught {len(self.training_words)} words; a category with any of them "
            "counts as seen in training:",
            "",
            ", ".join(self.training_words) + ".",
        ]

    def _figure_lines(self) -> list[str]:
        if self.evaluation is None:
            return ["Not measured here. `odise evaluate` measures them."]
        rows = [
            f"| {name} | {value:.2f} |"
            for name, value in self.evaluation["figures"].items()
            if value is not None
        ]
        of_weights = (
            "" if self.precision == "fp32" else f", before the weights were made {self.precision}"
        )
        return [
            f"{self.evaluation['title']}; percentages{of_weights}.",
            "",
            "| figure | value |",
            "|---|---|",
            *rows,
        ]
