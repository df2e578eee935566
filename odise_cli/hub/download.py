"""Fetching published files: resumable, verified, and in their place only when they are whole.

While it is fetched a file is called `<name>.part`; the next try goes on where it ends. A file that
turns out to be something else is kept as `<name>.bad`. Knows no model and prints nothing.
"""

import errno
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from odise_cli import __version__
from odise_cli.errors import MissingDataError, TryAgainError, UsageError
from odise_cli.hub.checksum import file_sha256, hash_file, remember_sha256
from odise_cli.hub.published import (
    PublishedFile,
    cache_folder,
    presence,
    published_model,
    size_text,
    total_size_text,
)

OnProgress = Callable[[PublishedFile, int, int | None], None]
"""Called with the file, the bytes that are here, and the bytes in all where that is known."""

_TIMEOUT_S = 30.0
"""How long a server may be silent."""
_CHUNK_BYTES = 1 << 20


class _BrokenConnectionError(Exception):
    """The server could not be reached, fell silent or hung up before the end."""


def pull(
    name: str, *, offline: bool = False, on_progress: OnProgress | None = None
) -> tuple[PublishedFile, ...]:
    """Fetch those files of a published model that are not here, and return them.

    Raises:
        UsageError: No published model has this name, or the cache folder cannot be written.
        MissingDataError: `offline` and a file is not here; or the server has no such file.
        TryAgainError: The network or the server failed, the disk is full, or another process
            is fetching the same file. What has arrived is kept.
    """
    lacking = tuple(file for file in published_model(name).files if not _is_whole(file))
    if lacking and offline:
        raise MissingDataError(
            f"--offline: {', '.join(file.name for file in lacking)} would have to be fetched "
            f"({total_size_text(lacking)}). Offline, all files must be in {cache_folder()}. "
            "Leave --offline out once, or copy them there."
        )
    for file in lacking:
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            with FileLock(_beside(file, ".lock"), timeout=0):
                # Another process may have fetched it while this one was busy with the file before.
                if not _is_whole(file):
                    _download(file, on_progress or _no_progress)
        except Timeout as error:
            raise TryAgainError(
                f"{file.path}: another process is fetching this file. One process at a time may. "
                "Run the command again when it is done."
            ) from error
        except OSError as error:
            raise _storage_error(file, error) from error
    return lacking


def _is_whole(file: PublishedFile) -> bool:
    return presence(file) == "present" and file_sha256(file.path).startswith(file.sha256)


def _download(file: PublishedFile, on_progress: OnProgress) -> None:
    part = _beside(file, ".part")
    was_resumed = _size_of(part) > 0
    _fetch(file, part, on_progress)
    digest = hash_file(part)
    if was_resumed and not digest.startswith(file.sha256):
        # What was left of the earlier try may be to blame: once more, from the beginning.
        part.unlink()
        _fetch(file, part, on_progress)
        digest = hash_file(part)
    if not digest.startswith(file.sha256):
        part.replace(_beside(file, ".bad"))
        raise MissingDataError(
            f"{file.url}: what was fetched has the sha256 {digest}. Expected {file.sha256}"
            f"{'' if len(file.sha256) == 64 else '…'}. It is kept as {_beside(file, '.bad')}; "
            "a proxy or a login page may have answered instead: fetch the file with a browser "
            f"and put it at {file.path}."
        )
    if file.path.exists():
        file.path.replace(_beside(file, ".bad"))
    part.replace(file.path)
    remember_sha256(file.path, file.path.stat(), digest)


def _fetch(file: PublishedFile, part: Path, on_progress: OnProgress) -> None:
    """Fill `part` up to the end; reconnect for as long as every connection brings it further."""
    if file.size_bytes is not None and _size_of(part) > file.size_bytes:
        part.unlink()
    furthest = _size_of(part)
    while furthest != file.size_bytes:
        try:
            _receive(file, part, on_progress)
        except _BrokenConnectionError as error:
            reached = _size_of(part)
            if reached <= furthest:
                raise TryAgainError(
                    f"{file.url}: the connection failed after {reached} bytes ({error}). "
                    f"Expected {total_size_text((file,))}. Run the command again: it goes on where "
                    f"it stopped. Or put the file at {file.path} by hand."
                ) from error
            furthest = reached
        else:
            return


def _receive(file: PublishedFile, part: Path, on_progress: OnProgress) -> None:
    """Append to `part` what one connection brings, or start it anew if the server insists."""
    start = _size_of(part)
    response = _request(file, start)
    if response is None:
        return
    with response:
        # A server that does not know ranges answers 200 and sends everything.
        start = start if response.status == http.client.PARTIAL_CONTENT else 0
        announced = None if response.length is None else start + response.length
        _check_size(file, announced)
        _check_room(file, announced, start)
        total = file.size_bytes or announced
        with part.open("ab" if start else "wb") as stream:
            received = start
            while chunk := _read(response):
                stream.write(chunk)
                received += len(chunk)
                on_progress(file, received, total)
            stream.flush()
            os.fsync(stream.fileno())
    if total is not None and received < total:
        raise _BrokenConnectionError(f"it ended before byte {total}")


def _request(file: PublishedFile, start: int) -> http.client.HTTPResponse | None:
    """Ask for everything from byte `start` on; None if the server says nothing is left."""
    headers = {"User-Agent": f"odise/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(file.url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise _refusal(file, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenConnectionError(str(error)) from error
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenConnectionError(str(error)) from error


def _refusal(file: PublishedFile, error: urllib.error.HTTPError) -> Exception:
    found = f"{file.url}: the server answered {error.code} {error.reason}. Expected the file"
    if error.code >= 500 or error.code in (
        http.client.REQUEST_TIMEOUT,
        http.client.TOO_MANY_REQUESTS,
    ):
        return TryAgainError(f"{found}. Run the command again later.")
    return MissingDataError(
        f"{found} {file.name} (licence: {file.licence}). Fetch it from elsewhere, perhaps after "
        f"accepting its licence on the site, and put it at {file.path}."
    )


def _check_size(file: PublishedFile, announced: int | None) -> None:
    """Refuse another file than the published one before a byte is written."""
    if announced is not None and file.size_bytes not in (None, announced):
        raise MissingDataError(
            f"{file.url}: the server announces {announced} bytes. Expected {file.size_bytes}. "
            "A proxy or a login page may be answering instead: fetch the file with a browser and "
            f"put it at {file.path}."
        )


def _check_room(file: PublishedFile, announced: int | None, start: int) -> None:
    """Refuse what would fill the disk before a byte is written."""
    free = shutil.disk_usage(cache_folder()).free
    if announced is not None and announced - start > free:
        raise TryAgainError(
            f"{cache_folder()}: {size_text(free)} are free. Expected room for {file.name}, "
            f"{size_text(announced - start)}. Make room, or set ODISE_CACHE to a folder on a "
            "larger disk."
        )


def _storage_error(file: PublishedFile, error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TryAgainError(
            f"{cache_folder()}: the disk is full ({error.strerror}). Expected room for {file.name} "
            f"({total_size_text((file,))}). Make room and run the command again: it goes on where "
            "it stopped. Or set ODISE_CACHE to a folder on a larger disk."
        )
    return UsageError(
        f"{cache_folder()}: {file.name} cannot be stored ({error.strerror}). Expected a folder "
        "that can be written. Set ODISE_CACHE to one."
    )


def _beside(file: PublishedFile, suffix: str) -> Path:
    return file.path.with_name(file.name + suffix)


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _no_progress(file: PublishedFile, done_bytes: int, total_bytes: int | None) -> None:
    """For callers that do not watch."""
