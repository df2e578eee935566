"""What `odise train` has to say."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What `odise train --dry-run` promises to do."""

    task: str
    model: str
    out: Path
    num_images: int
    """Of the training data."""
    num_validation_images: int
    num_categories: int
    """Of the training vocabulary."""
    num_steps: int
    num_done_steps: int
    """Of these, done by an earlier run in the folder."""
    batch_size: int
    images_per_pass: int
    """Of one process."""
    passes_per_step: int
    num_processes: int
    device: str
    precision: str
    warnings: tuple[str, ...]

    @property
    def num_epochs(self) -> float:
        """How often every image is seen."""
        return self.num_steps * self.batch_size / self.num_images

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            **asdict(self),
            "out": str(self.out),
            "warnings": list(self.warnings),
            "num_epochs": self.num_epochs,
        }


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """How a run of `odise train` ended."""

    out: Path
    task: str
    num_trainable: int
    """Numbers that were trained."""
    num_frozen: int
    """Numbers that only help."""
    num_steps: int
    """Of the recipe."""
    num_steps_before: int
    """Of these, done by earlier runs in the folder."""
    num_done_steps: int
    """Of these, done by the end of this run."""
    batch_size: int
    num_processes: int
    device: str
    precision: str
    seconds: float
    """Wall time of this run's steps, validations and checkpoints."""
    last_metrics: Mapping[str, Any]
    """The last line of `metrics.jsonl` that has losses."""
    last_scores: Mapping[str, float | None] | None
    """The last validation's figures in percent; None without any."""

    @property
    def is_interrupted(self) -> bool:
        """A signal stopped the run; a checkpoint was written."""
        return self.num_done_steps < self.num_steps

    @property
    def images_per_second(self) -> float:
        """Images trained on now, by wall time."""
        num_images = (self.num_done_steps - self.num_steps_before) * self.batch_size
        return num_images / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            **asdict(self),
            "out": str(self.out),
            "is_interrupted": self.is_interrupted,
            "images_per_second": self.images_per_second,
        }
