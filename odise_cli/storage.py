"""Places outside of this machine's file system: `s3://`, `gs://` and whatever else fsspec reads.

Knows URLs and fsspec; does not know what lies there. fsspec is imported where it is used: it and
its drivers take their time.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from odise_cli.errors import TryAgainError, UsageError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that has a protocol's driver."""


class Url(str):
    """The name of a place that fsspec can read; `/` goes below it, as with paths."""

    __slots__ = ()

    def __truediv__(self, name: str) -> "Url":
        return Url(f"{self.rstrip('/')}/{name}")

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.split("://", 1)[0].lower()

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self).name


Location: TypeAlias = Path | Url
"""A file or folder on this machine, or a URL."""


def is_url(text: str) -> bool:
    """Whether a text names a place by a URL, `file://` too."""
    return _URL.match(text) is not None


def parse_location(text: str) -> Location:
    """What a user or a file calls a place; `file:///photos` is the path."""
    if local := _LOCAL.match(text):
        return Path(text[local.end() :])
    return Url(text.rstrip("/")) if is_url(text) else Path(text)


def is_below(place: Location, folder: Location) -> bool:
    """Whether a place is the folder, or in it."""
    if isinstance(place, Url) or isinstance(folder, Url):
        return f"{place}/".startswith(f"{str(folder).rstrip('/')}/")
    return place.is_relative_to(folder)


def absolute(place: Location) -> Location:
    """The place, whatever the working folder is."""
    return place if isinstance(place, Url) else place.absolute()


def file_system(url: str) -> Any:
    """The fsspec file system of a URL, with the driver's own settings and credentials.

    Raises:
        UsageError: nobody knows the protocol, or its driver is not installed.
    """
    import fsspec

    protocol = Url(url).protocol
    try:
        # What a driver remembers of a folder is stale as soon as another process writes there.
        return fsspec.core.url_to_fs(url, use_listings_cache=False)[0]
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        what = f"pip install 'odise-cli[{extra}]'" if extra else "Install what fsspec asks for"
        raise UsageError(
            f"{url}: {error}. Expected the driver of {protocol}://. {what}."
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{url}: {error}. Expected a protocol that fsspec knows, such as s3:// or gs://. "
            "Check the URL."
        ) from error


@contextmanager
def explained_storage_errors(url: str) -> Iterator[None]:
    """Turn what a driver raises into an error with an exit code.

    Raises:
        UsageError: there is no such place, or this user may not go there.
        TryAgainError: anything else: networks and services fail in more ways than can be listed.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "is not permitted"
        raise UsageError(
            f"{url}: {reason} ({error}). Expected a place that these credentials may use. "
            "Check the URL and the credentials."
        ) from error
    except Exception as error:
        raise TryAgainError(
            f"{url}: {type(error).__name__}: {error}. Expected storage that answers. Check the "
            "network and the credentials, then start the same command again."
        ) from error


def read_bytes(url: Url) -> bytes:
    """The content of a file; what the driver raises comes through."""
    data: bytes = file_system(url).cat_file(url)
    return data
