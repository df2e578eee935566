"""What a run measures of itself: a line of JSON for each logged step, and TensorBoard events.

Knows numbers and files; does not know what they measure.
"""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.line_log import LineLog, read_lines

METRICS_FILE = "metrics.jsonl"
EVENTS_FOLDER = "tensorboard"
TENSORBOARD_NOTICE = (
    "tensorboard is not installed: metrics.jsonl is written, TensorBoard events are not. "
    "Get them with: pip install 'odise-cli[train]'."
)


def has_tensorboard() -> bool:
    """Whether its package is installed."""
    return importlib.util.find_spec("tensorboard") is not None


class MetricsLog:
    """The metrics of a run; goes on behind `step` if it has written more than that."""

    def __init__(self, run: Path, *, step: int) -> None:
        """Open the log of a run that has done `step` steps."""
        path = run / METRICS_FILE
        _cut(path, step)
        self._lines = LineLog(path)
        self._events = _open_events(run / EVENTS_FOLDER, step)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Add what was measured at a step; groups of numbers may be nested once.

        Raises:
            OdiseError: the disk is full.
        """
        self._lines.append(json.dumps({"step": step, **values}).encode() + b"\n")
        if self._events is None:
            return
        for name, value in values.items():
            for inner, number in value.items() if isinstance(value, Mapping) else (("", value),):
                if isinstance(number, int | float):
                    self._events.add_scalar(f"{name}/{inner}" if inner else name, number, step)

    def close(self) -> None:
        """Let go of the files."""
        self._lines.close()
        if self._events is not None:
            self._events.close()


def _cut(path: Path, step: int) -> None:
    """Remove the lines of steps that will be done again, and a line that was left unfinished."""
    if not path.exists():
        return
    kept = [line for _, line in read_lines(path) if json.loads(line)["step"] <= step]
    write_atomic(path, b"".join(kept))


def _open_events(folder: Path, step: int) -> Any:
    """TensorBoard's writer, which hides earlier events behind `step`; None without its package."""
    if not has_tensorboard():
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
