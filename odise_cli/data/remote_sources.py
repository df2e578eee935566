"""The images that URLs name: objects, folders of them and patterns, listed by fsspec.

Folders are what keys with `/` look like. One listing request answers for a thousand objects; none
of them is opened.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from odise_cli.data.formats import image_suffixes
from odise_cli.data.names import natural_key, printable
from odise_cli.errors import NoImagesError, UsageError
from odise_cli.storage import Location, Url, explained_storage_errors, file_system

RUN_MARK = ".odise"
"""What every run puts into its output folder, beside its results."""
RESULT_FOLDERS = frozenset({"panoptic", "semantic", "overlays"})
"""Where a run puts pictures."""
_NUM_SOURCES_SHOWN = 5


def find_urls(
    sources: Sequence[str], entries: Sequence[str], *, excluded: Sequence[Location]
) -> tuple[Url, list[Url], int]:
    """The folder that all have in common, the images in natural order, and how many others.

    Args:
        sources: Files, folders and patterns.
        entries: Files and folders of a list; a name that ends like an image is one, unasked.
        excluded: Folders that are never searched.

    Raises:
        NoImagesError: Nothing was found.
        UsageError: The URLs have no folder in common, or cannot be listed.
    """
    named = [*sources, *entries]
    local = [name for name in named if "://" not in name]
    if local:
        raise UsageError(
            f"SOURCES: {printable(local[0])} is a path, {named[0]} is a URL. Expected one or the "
            "other. Run once for each, into folders of their own."
        )
    search = _Search(file_system(named[0]))
    for source in sources:
        search.add(source, is_pattern=True)
    for entry in entries:
        search.add(entry, is_pattern=False)
    folders = [search.stripped(folder) for folder in excluded if isinstance(folder, Url)]
    paths = _without_results(search.found, folders)
    if not paths:
        shown = ", ".join(printable(name) for name in named[:_NUM_SOURCES_SHOWN])
        raise NoImagesError(
            f"SOURCES: no image was found in {shown}; {len(search.skipped):,} other files were "
            "skipped. Expected objects that end in .jpg, .png, .tif, .webp or the like. Check the "
            "URLs, or name an object itself to read it whatever its ending."
        )
    root = os.path.commonpath(search.roots) if len(search.roots) > 1 else next(iter(search.roots))
    if not root.strip("/"):
        raise UsageError(
            f"SOURCES: {', '.join(named[:_NUM_SOURCES_SHOWN])} have no folder in common. Expected "
            "one bucket. Run once for each."
        )
    urls = [search.url(path) for path in paths]
    return search.url(root), sorted(urls, key=natural_key), len(search.skipped)


class _Search:
    """What URLs have yielded so far; paths here are the file system's, without protocol."""

    def __init__(self, file_system: Any) -> None:
        self.found: dict[str, None] = {}
        self.skipped: set[str] = set()
        self.roots: dict[str, None] = {}
        self._file_system = file_system

    def stripped(self, url: str) -> str:
        path: str = self._file_system._strip_protocol(url)
        return path

    def url(self, path: str) -> Url:
        text = self._file_system.unstrip_protocol(path)
        # fsspec's memory has absolute paths, a bucket has not.
        return Url(re.sub(r"^([^:]+):/{3,}", r"\1://", text))

    def add(self, source: str, *, is_pattern: bool) -> None:
        """Add what one URL names."""
        path = self.stripped(source)
        if is_pattern and any(character in path for character in "*?["):
            self._add_pattern(source, path)
        elif not is_pattern and _is_image_name(path):
            self._add_file(path)
        else:
            self._add_named(source, path)

    def _add_named(self, source: str, path: str) -> None:
        with explained_storage_errors(source):
            try:
                is_folder = self._file_system.info(path)["type"] == "directory"
            except FileNotFoundError:
                # A failure row, as a file of this machine that is not there.
                is_folder = not _is_image_name(path)
        if is_folder:
            self._add_folder(source, path)
        else:
            self._add_file(path)

    def _add_file(self, path: str) -> None:
        self.roots[posixpath.dirname(path)] = None
        self.found[path] = None

    def _add_folder(self, source: str, path: str) -> None:
        folder = path.rstrip("/")
        self.roots[folder] = None
        with explained_storage_errors(source):
            self._add_listed(self._file_system.find(folder), below=folder)

    def _add_pattern(self, source: str, path: str) -> None:
        parts = path.split("/")
        fixed = next(i for i, part in enumerate(parts) if re.search(r"[*?\[]", part))
        folder = "/".join(parts[:fixed])
        self.roots[folder] = None
        with explained_storage_errors(source):
            matches = self._file_system.glob(path, detail=True)
            self._add_listed(
                [name for name, about in matches.items() if about["type"] == "file"], below=folder
            )
            for name, about in matches.items():
                if about["type"] == "directory" and "**" not in parts[-1]:
                    self._add_listed(self._file_system.find(name), below=folder)

    def _add_listed(self, paths: Iterable[str], *, below: str) -> None:
        for path in paths:
            parts = path[len(below) :].strip("/").split("/")
            if RUN_MARK in parts:
                self.found.setdefault(path)
            elif any(part.startswith(".") for part in parts):
                continue
            elif _is_image_name(path):
                self.found.setdefault(path)
            else:
                self.skipped.add(path)


def _without_results(paths: Iterable[str], excluded: Sequence[str]) -> list[str]:
    """Paths that are no pictures of a run: neither of the one that is beginning, nor of others."""
    paths = list(paths)
    runs = {path.split(f"/{RUN_MARK}/", 1)[0] for path in paths if f"/{RUN_MARK}/" in path}
    folders = {*excluded, *(f"{run}/{folder}" for run in runs for folder in RESULT_FOLDERS)}
    results = tuple(f"{folder.rstrip('/')}/" for folder in folders)
    return [path for path in paths if not path.startswith(results) and f"/{RUN_MARK}/" not in path]


def _is_image_name(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in image_suffixes()
