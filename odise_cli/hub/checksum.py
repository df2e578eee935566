"""Whether a file is the published one: presence, size, sha256.

Knows no network. Digests are remembered on disk, so that gigabytes are read once and not by
every run that writes its weights' digests into `run.json`.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odise_cli.errors import MissingDataError
from odise_cli.hub.published import (
    FileState,
    PublishedFile,
    cache_folder,
    presence,
    published_model,
)


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """What was found in the place of one published file."""

    file: PublishedFile
    state: FileState


def verify(name: str) -> tuple[FileCheck, ...]:
    """Read every file of a published model from beginning to end and compare it.

    A head is `ok` when its sha256 begins with the eight digits that are published.

    Raises:
        UsageError: No published model has this name.
        MissingDataError: A file is there and cannot be read.
    """
    return tuple(
        FileCheck(file=file, state=_verify_file(file)) for file in published_model(name).files
    )


def _verify_file(file: PublishedFile) -> FileState:
    state = presence(file)
    if state != "present":
        return state
    digest = _hash_and_remember(file.path)
    return "ok" if digest.startswith(file.sha256) else "wrong sha256"


def file_sha256(path: Path) -> str:
    """A file's sha256 in hex; read only if its size or time has changed since the last time.

    Raises:
        MissingDataError: The file is there and cannot be read.
    """
    status = path.stat()
    match _read_remembered().get(str(path.absolute())):
        case [status.st_size, status.st_mtime_ns, str(digest)]:
            return digest
    return _hash_and_remember(path)


def hash_file(path: Path) -> str:
    """A file's sha256 in hex, from its content.

    Raises:
        MissingDataError: The file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise MissingDataError(
            f"{path}: the file cannot be read ({error.strerror}). Expected weights that this user "
            "may read. Check the permissions and the disk."
        ) from error


def remember_sha256(path: Path, status: os.stat_result, digest: str) -> None:
    """Note for `file_sha256` what a file of this size and time contained.

    Without effect where the cache folder is read-only.
    """
    remembered = _read_remembered()
    remembered[str(path.absolute())] = [status.st_size, status.st_mtime_ns, digest]
    # Losing a note costs one more reading, so failing to write one must not stop a run.
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=cache_folder(), prefix="sha256-")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(remembered, stream, indent=1)
        Path(temporary).replace(_remembered_path())


def _hash_and_remember(path: Path) -> str:
    # Looked at before it is read: a file replaced meanwhile is then read again next time.
    status = path.stat()
    digest = hash_file(path)
    remember_sha256(path, status, digest)
    return digest


def _read_remembered() -> dict[str, Any]:
    try:
        remembered = json.loads(_remembered_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}


def _remembered_path() -> Path:
    return cache_folder() / "sha256.json"
