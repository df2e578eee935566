"""One run per folder: a lock that the kernel takes back when its holder dies.

Knows the lock file; does not know what the folder is for.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from odise_cli.errors import TryAgainError
from odise_cli.writers.atomic import explained_errors


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, with this process's id in it, as long as the block runs.

    Raises:
        TryAgainError: another process holds it, or reads the folder just now.
        UsageError: the file cannot be made.
    """
    with explained_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(path, descriptor, fcntl.LOCK_EX)
        with explained_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        try:
            yield
        finally:
            # The file stays: were it removed, two processes could lock two files of one name.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextmanager
def shared_lock(path: Path) -> Iterator[None]:
    """Keep writers of an existing lock file `path` away as long as the block reads.

    Raises:
        TryAgainError: a process writes to the folder just now.
    """
    with explained_errors(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _take(path, descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, descriptor: int, kind: int) -> None:
    folder = path.parent.parent
    with explained_errors(path):
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            raise TryAgainError(
                f"{folder}: in use by another run (process {holder}). "
                "One folder takes one run at a time. Wait for it, or give another --out."
            ) from error
