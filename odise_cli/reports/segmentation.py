"""How `odise segment` went: its plan and its end, as counts and times."""

from dataclasses import asdict, dataclass, field
from typing import Any

from odise_cli.storage import Location


@dataclass(frozen=True, kw_only=True)
class SegmentPlan:
    """What `odise segment --dry-run` promises to do."""

    num_images: int
    """Images of the full sorted list."""
    num_selected: int
    """Images that this shard and limit select."""
    num_finished: int
    """Selected images that the output folder already holds."""
    num_skipped_files: int
    """Files in the folders that are no images."""
    num_categories: int
    model: str
    outputs: tuple[str, ...]
    out: Location
    estimated_bytes: int
    """Rough disk space of the images still to do."""

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {**asdict(self), "out": str(self.out), "outputs": list(self.outputs)}


@dataclass(frozen=True, kw_only=True)
class SegmentReport:
    """How a run of `odise segment` ended."""

    out: Location
    num_selected: int
    """Images that this shard and limit selected."""
    num_finished_before: int
    """Of these, done by an earlier run."""
    num_done: int
    """Of these, done now."""
    num_failed: int
    """Of these, without a result; each is a row of `failures.txt`."""
    num_skipped_files: int
    num_segments: int
    seconds: float
    """Wall time of the images, without loading the model."""
    stage_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds by stage, summed over this run's images."""
    num_batch_halvings: int = 0
    """How often the batch was halved because the device ran out of memory."""
    first_failures: tuple[tuple[str, str], ...] = ()
    """(name, error) of the first few images without a result, for people to read."""
    is_interrupted: bool = False
    """A signal stopped the run after the batch in hand."""

    @property
    def images_per_second(self) -> float:
        """Images done now, by wall time."""
        return self.num_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0 if every image has a result, 3 if some failed; a signal's code is the caller's."""
        return 3 if self.num_failed else 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            **asdict(self),
            "out": str(self.out),
            "images_per_second": self.images_per_second,
        }
