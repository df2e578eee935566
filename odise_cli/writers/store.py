"""Where a run folder's files are: on this machine, or behind a URL.

A store has a folder `path` on this machine for run.json, journal, manifest and the collected
files; of a local store it is the run folder itself. Images' own files go through `write`, `remove`
and `is_file`, which take paths below `path` all the same.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from odise_cli.errors import UsageError
from odise_cli.storage import Location, Url
from odise_cli.writers.atomic import explained_errors, link_atomic, remove_file, write_atomic
from odise_cli.writers.layout import LOCK, RUN_JSON
from odise_cli.writers.lock import exclusive_lock, shared_lock
from odise_cli.writers.remote_store import RemoteStore


class Store(Protocol):
    """The files of a run folder."""

    @property
    def path(self) -> Path:
        """The folder on this machine."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file, or nothing."""

    def remove(self, path: Path) -> None:
        """Remove a file; it need not be there."""

    def is_file(self, path: Path) -> bool:
        """Whether a file is there."""

    def read(self, path: Path) -> bytes:
        """The content of a file."""

    def is_taken(self, path: Path) -> bool:
        """Whether a file or folder is there."""

    def publish(self, paths: Iterable[Path]) -> None:
        """Bring files that were written below `path` to where the run folder is."""


class LocalStore:
    """A run folder on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file, or nothing."""
        write_atomic(path, data)

    def remove(self, path: Path) -> None:
        """Remove a file and its temporary; neither need be there."""
        remove_file(path)

    def is_file(self, path: Path) -> bool:
        """Whether a file is there."""
        return path.is_file()

    def read(self, path: Path) -> bytes:
        """The content of a file."""
        with explained_errors(path):
            return path.read_bytes()

    def is_taken(self, path: Path) -> bool:
        """Whether a file or folder is there."""
        return path.exists()

    def publish(self, paths: Iterable[Path]) -> None:
        """Nothing: they are where they belong."""


@contextmanager
def open_store(place: Location) -> Iterator[Store]:
    """The store of a run folder that nobody else writes to meanwhile.

    Raises:
        TryAgainError: another run has it.
        UsageError: it cannot be made.
    """
    if isinstance(place, Url):
        with RemoteStore.open(place, is_exclusive=True) as remote:
            yield remote
    else:
        with exclusive_lock(place / LOCK):
            yield LocalStore(place)


@contextmanager
def read_store(place: Location) -> Iterator[Store]:
    """The store of a finished run; no run writes to it meanwhile.

    Raises:
        UsageError: no run folder.
        TryAgainError: a run is writing to it.
    """
    if isinstance(place, Url):
        with RemoteStore.open(place, is_exclusive=False) as remote:
            if not (remote.path / RUN_JSON).is_file():
                raise UsageError(no_run_text(place))
            remote.check_unused()
            yield remote
        return
    if not (place / LOCK).is_file():
        raise UsageError(no_run_text(place))
    with shared_lock(place / LOCK):
        yield LocalStore(place)


@contextmanager
def glance(place: Location) -> Iterator[Store]:
    """The store of a folder as it is, even if no run's or in use: to look, not to touch."""
    if isinstance(place, Url):
        with RemoteStore.open(place, is_exclusive=False) as remote:
            yield remote
    else:
        yield LocalStore(place)


def copy(source: Store, source_path: Path, target: Store, path: Path) -> None:
    """Take over a file of another store; linked where both are on one file system.

    Raises:
        OdiseError: as the stores' `read` and `write`.
    """
    if isinstance(source, LocalStore) and isinstance(target, LocalStore):
        link_atomic(source_path, path)
    else:
        target.write(path, source.read(source_path))


def no_run_text(place: Location) -> str:
    """The error for a folder that is no run's."""
    return (
        f"{place}: holds no results of odise segment ({RUN_JSON} or {LOCK} is missing). "
        "Expected an output folder. Check the path."
    )
