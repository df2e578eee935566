"""Files that are either whole or not there: written beside their place, flushed, renamed.

Knows paths and errnos; does not know what the files hold.
"""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from odise_cli.errors import ImageError, OdiseError, TryAgainError, UsageError

_TRANSIENT = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,  # RLIMIT_FSIZE, or a file system's largest file
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOLCK,
    errno.ESTALE,
}


@contextlib.contextmanager
def explained_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal of `path` into an error with an exit code.

    Raises:
        TryAgainError: the disk is full or failing; nothing is wrong with the request.
        ImageError: a name that this file system cannot hold; other images can go on.
        UsageError: anything else, such as a folder that may not be written.
    """
    try:
        yield
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: OSError) -> OdiseError:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError):  # from mkdir, the only call here that can raise it
        reason = f"{error.filename} is a file and no folder"
    if error.errno in _TRANSIENT:
        return TryAgainError(
            f"{path}: cannot be written now: {reason}. Everything that was finished is safe. "
            "Free some space, then start the same command again."
        )
    if error.errno == errno.ENAMETOOLONG:
        return ImageError(
            f"{path}: cannot be written: {reason}. File systems take names of up to 255 bytes. "
            "Rename the image."
        )
    return UsageError(
        f"{path}: cannot be written: {reason}. Expected a folder that this user may write to. "
        "Change its permissions or give another --out."
    )


def temporary_path(path: Path) -> Path:
    """Where `path` is written before it is renamed: hidden, short, always the same.

    A fixed name lets the next run find and remove what a killed one left behind.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".odise-{digest}.tmp")


class AtomicFile:
    """A file that appears under its name, whole, when the `with` block ends well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = temporary_path(path)
        with explained_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("wb")

    def write(self, data: bytes) -> None:
        """Append `data` to the file that is not there yet."""
        with explained_errors(self.path):
            self._file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is not None:
            self._discard()
            return
        try:
            with explained_errors(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._temporary.replace(self.path)
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # closing flushes, which fails again on a full disk
            self._file.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file of `data`, or nothing.

    Raises:
        OdiseError: as `explained_errors` says.
    """
    with AtomicFile(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name, whole, when the `with` block ends well.

    Yields:
        where to write meanwhile: beside `path`, under another name.

    Raises:
        UsageError: `path` is not empty, or cannot be made.
        OdiseError: as `explained_errors` says.
    """
    path = path.resolve()
    temporary = temporary_path(path)
    with explained_errors(path):
        if path.exists() and not path.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        if path.is_dir() and any(path.iterdir()):
            raise UsageError(
                f"--out: {path} is not empty. Expected an empty or a new folder. "
                "Give another --out."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    try:
        yield temporary
        with explained_errors(path):
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def link_atomic(source: Path, path: Path) -> None:
    """Give `source` a second name, or copy it where the file system has no hard links.

    Raises:
        OdiseError: as `explained_errors` says.
    """
    temporary = temporary_path(path)
    with explained_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        # Another file system, or one without hard links; results are small enough to copy.
        write_atomic(path, source.read_bytes())
        return
    with explained_errors(path):
        temporary.replace(path)
        # Where `path` is a link to `source` already, POSIX renames nothing.
        temporary.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """Remove a file of ours, and its temporary; neither need be there.

    Raises:
        OdiseError: as `explained_errors` says.
    """
    with explained_errors(path):
        for doomed in (temporary_path(path), path):
            try:
                doomed.unlink(missing_ok=True)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ENAMETOOLONG):  # cannot be there
                    raise
