"""A file of lines that only grows; each line is in it as a whole or not at all.

Knows bytes, offsets and locks; does not know what a line says.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from odise_cli.writers.atomic import explained_errors

_BLOCK_BYTES = 1 << 16


class LineLog:
    """Lines appended by several threads."""

    def __init__(self, path: Path) -> None:
        """Open or create `path`; a line that a killed run left unfinished is cut off."""
        self.path = path
        self._lock = threading.Lock()
        with explained_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._end = _end_of_last_line(self._descriptor)
            os.ftruncate(self._descriptor, self._end)

    def append(self, line: bytes, *, flush: bool = True) -> int:
        """Add one line, newline included, and say at which offset it starts.

        Args:
            line: the bytes.
            flush: wait until they are on the disk.

        Raises:
            OdiseError: the disk is full; the file then ends where it did before.
        """
        assert line.endswith(b"\n")
        with self._lock, explained_errors(self.path):
            start = self._end
            try:
                written = 0
                while written < len(line):  # a write may be short just before the disk is full
                    written += os.pwrite(self._descriptor, line[written:], start + written)
                if flush:
                    os.fsync(self._descriptor)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, start)
                raise
            self._end = start + len(line)
            return start

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _end_of_last_line(descriptor: int) -> int:
    """Offset just behind the last newline of an open file; 0 without any."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The offset and bytes of each whole line of `path`; none where there is no file."""
    offset = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield offset, line
            offset += len(line)


def lines_at(path: Path, offsets: Iterable[int]) -> Iterator[bytes]:
    """The lines of `path` that begin at the given offsets, in their order.

    Raises:
        OdiseError: the file is gone, or cannot be read.
    """
    with explained_errors(path), path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            yield file.readline()
