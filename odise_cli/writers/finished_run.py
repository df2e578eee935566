"""A run folder to read from: what a merge takes over and an evaluation scores.

Knows journal and manifest; changes nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from odise_cli.errors import UsageError
from odise_cli.storage import Location
from odise_cli.writers.layout import JOURNAL, MANIFEST, RUN_JSON, image_files
from odise_cli.writers.line_log import lines_at
from odise_cli.writers.manifest import Row, load_rows
from odise_cli.writers.run_json import RunJson, read_run_json
from odise_cli.writers.store import LocalStore, Store, no_run_text, read_store


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run folder whose run has come to its end."""

    place: Location
    """The folder, as it was named."""
    store: Store
    run: RunJson
    rows: dict[str, Row]
    """Images by name, in the order of the manifest, each of them done or failed."""

    @classmethod
    def at(cls, path: Path, *, run: RunJson, rows: dict[str, Row]) -> "FinishedRun":
        """A folder on this machine that somebody has opened already, or a part of its rows."""
        return cls(place=path, store=LocalStore(path), run=run, rows=rows)

    @property
    def path(self) -> Path:
        """The folder on this machine that holds journal and manifest."""
        return self.store.path

    @classmethod
    @contextmanager
    def open(cls, place: Location) -> Iterator["FinishedRun"]:
        """Read the folder and keep writers away from it as long as the block runs.

        Raises:
            UsageError: no run folder, a run that has not finished, or results that are gone.
            TryAgainError: a run is writing to it now.
        """
        with read_store(place) as store:
            run = read_run_json(store.path / RUN_JSON)
            if run is None:
                raise UsageError(no_run_text(place))
            rows, _ = load_rows(store.path, run.outputs, is_file=store.is_file)
            lost = [name for name, row in rows.items() if row.status == "lost"]
            if run.totals is None or lost:
                found = f"{lost[0]!r} has lost a file" if lost else "its run has not finished"
                raise UsageError(
                    f"{place}: {found}. Expected whole results. "
                    "Start that run again and let it finish."
                )
            yield cls(place=place, store=store, run=run, rows=rows)

    def manifest_line(self, name: str) -> bytes:
        """What the manifest says of an image."""
        return next(lines_at(self.path / MANIFEST, [self.rows[name].manifest_offset]))

    def journal_line(self, row: Row) -> bytes:
        """What the journal says of an image that is done."""
        return next(lines_at(self.path / JOURNAL, [row.journal_offset]))

    def files(self, name: str) -> Iterator[Path]:
        """The image's own files, relative to the folder."""
        for path in image_files(self.path, self.run.outputs, self.rows[name].stem):
            yield path.relative_to(self.path)
