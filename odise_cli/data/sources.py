"""From what the user names to the sorted list of image files.

Knows folders, patterns and lists of files; opens no image, so a file counts as one by its suffix.

* A file, as an argument or in the list, is kept whatever its suffix, and even if it does not
  exist: decoding it tells what is wrong and the run goes on. Only a missing name without the
  suffix of an image, which is likely a mistyped folder, does not make a run by itself.
* A folder is read recursively. Links to folders are followed, each folder once. Hidden files
  and folders are left out. A folder that cannot be listed is kept as if it were a file, so
  that it becomes a failure and its images are not lost in silence.
* An argument that does not exist and has one of `*?[` is a pattern, where `**` stands for any
  number of folders. Entries of the list are never patterns.
* The pictures that a run of ours wrote into its output folder are no sources of another run,
  unless they are named.
* The same file by two ways is listed once, as first found. A link to a file is a file of its
  own: data sets that store equal files once have a name for each.

`root` is the deepest folder above all sources: a folder itself, a pattern's part before its
first wildcard, a file's folder.
"""

import codecs
import hashlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO

from odise_cli.data.formats import image_suffixes
from odise_cli.data.names import natural_key, printable
from odise_cli.data.remote_sources import RESULT_FOLDERS, RUN_MARK, find_urls
from odise_cli.errors import NoImagesError, UsageError
from odise_cli.storage import Location, Url, is_url, parse_location

_NUM_SOURCES_SHOWN = 5
"""How many sources an error message lists."""


@dataclass(frozen=True, kw_only=True)
class SourceList:
    """The images of a run."""

    root: Location
    """Folder that image names are relative to; absolute."""
    paths: tuple[Location, ...]
    """Absolute, different files below `root`, in natural order (img2 before img10)."""
    num_skipped_files: int
    """Files in folders, or matched by patterns, that are no images by their suffix."""
    image_ids: tuple[int, ...] | None = None
    """What a data set calls each of `paths`; None where nobody says."""

    def fingerprint(self) -> dict[str, Any]:
        """How many images, and a hash of their names: equal for every shard of one list."""
        num_cut = len(str(self.root))
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(os.fsencode(str(path)[num_cut:]) + b"\0")
        return {"count": len(self.paths), "sha256": digest.hexdigest()}


def listed_images(
    root: Path, names: Sequence[str], *, image_ids: Sequence[int] | None = None
) -> SourceList:
    """The images that somebody else has listed, in their order.

    Args:
        root: The folder that the names are relative to; relative to the working folder.
        names: Paths with `/`, all different.
        image_ids: An id for each of them, all different.
    """
    folder = _absolute(root)
    return SourceList(
        root=folder,
        paths=tuple(folder / name for name in names),
        num_skipped_files=0,
        image_ids=None if image_ids is None else tuple(image_ids),
    )


def find_images(
    sources: Sequence[str],
    *,
    from_file: str | None = None,
    null_separated: bool = False,
    stdin: BinaryIO | None = None,
    excluded: Sequence[Location] = (),
) -> SourceList:
    """List the images that files, folders, glob patterns and a list file name.

    Args:
        sources: Files, folders and patterns; relative ones to the working folder; or URLs.
        from_file: A file that names one file or folder a line; `-` is standard input.
        null_separated: The list has NUL after each entry instead of a newline.
        stdin: Standard input, where it is not the process's own.
        excluded: Folders that are never searched: those into which the run writes images. A run
            that is repeated would otherwise take its own results for sources.

    Raises:
        NoImagesError: Nothing was found but other files and things that do not exist.
        UsageError: The list cannot be read, or a source is empty.
    """
    entries = [] if from_file is None else _read_list(from_file, null_separated, stdin)
    if any(is_url(name) and isinstance(parse_location(name), Url) for name in (*sources, *entries)):
        root, urls, num_skipped = find_urls(sources, entries, excluded=excluded)
        return SourceList(root=root, paths=tuple(urls), num_skipped_files=num_skipped)
    sources, entries = ([_without_file_scheme(n) for n in names] for names in (sources, entries))
    search = _Search([folder for folder in excluded if isinstance(folder, Path)])
    for source in sources:
        search.add_argument(source)
    for entry in entries:
        search.add_named(entry)
    if not search.found:
        raise NoImagesError(_nothing_found([*sources, *entries], search))
    for path in search.unreadable:
        search.roots.add(str(path.parent))
        search.add_file(path)
    paths = sorted(search.found.values(), key=lambda path: natural_key(str(path)))
    return SourceList(
        root=Path(os.path.commonpath(search.roots)),
        paths=tuple(paths),
        num_skipped_files=len(search.skipped),
    )


class _Search:
    """What the sources have yielded so far."""

    def __init__(self, excluded: Sequence[Path]) -> None:
        self.found: dict[tuple[str, str], Path] = {}
        """By real folder and file name, which tells a file apart from others."""
        self.skipped: set[tuple[str, str]] = set()
        self.unreadable: list[Path] = []
        """Folders that cannot be listed, and missing things not named like an image."""
        self.passed_over: dict[Path, None] = {}
        """Excluded folders that the sources lead to, in order."""
        self.roots: set[str] = set()
        self._excluded = {os.path.realpath(folder) for folder in excluded}
        self._searched: set[str] = set()
        self._real_folders: dict[Path, str] = {}

    def add_argument(self, source: str) -> None:
        """Add what one command-line source names."""
        if not source:
            raise UsageError(
                "SOURCES: an empty path was given. Expected a file, a folder or a glob. "
                "Check for an unset variable, or write '.' for the current folder."
            )
        if _has_wildcard(source) and not os.path.lexists(source):
            self._add_pattern(source)
        else:
            self.add_named(source)

    def add_named(self, source: str) -> None:
        """Add a folder's images, or a file as it is."""
        path = _absolute(Path(source))
        if _is_folder(path):
            self.roots.add(str(path))
            self._add_folder(path)
            return
        self.roots.add(str(path.parent))
        if _is_image_name(path.name) or os.path.lexists(path):
            self.add_file(path)
        else:
            self.unreadable.append(path)

    def add_file(self, path: Path) -> None:
        """Add a file whatever its suffix."""
        folder = path.parent
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        self.found.setdefault((self._real_folders[folder], path.name), path)

    def _add_pattern(self, pattern: str) -> None:
        parts = Path(pattern).parts
        num_fixed = 0
        while not _has_wildcard(parts[num_fixed]) or os.path.lexists(Path(*parts[: num_fixed + 1])):
            num_fixed += 1
        folder = _absolute(Path(*parts[:num_fixed]))
        self.roots.add(str(folder))
        self._match(folder, parts[num_fixed:])

    def _match(self, folder: Path, parts: tuple[str, ...]) -> None:
        """Add what the remaining parts of a pattern find below a folder."""
        if self._is_excluded(folder):
            return
        if not parts:
            self._add_folder(folder)
        elif parts[0] == "**":
            for subfolder, _ in self._walk(folder, set()):
                self._match(subfolder, parts[1:])
        elif (listing := self._list(folder)) is not None:
            if len(parts) == 1:
                self._add_listed(folder, _matching(listing.files, parts[0]))
            # Links last, as in _walk.
            for name in _matching([*listing.folders, *listing.linked_folders], parts[0]):
                self._match(folder / name, parts[1:])

    def _add_folder(self, folder: Path) -> None:
        for subfolder, listing in self._walk(folder, self._searched):
            self._add_listed(subfolder, [name for name in listing.files if name[0] != "."])

    def _add_listed(self, folder: Path, names: Sequence[str]) -> None:
        real_folder = os.path.realpath(folder)
        for name in names:
            key = (real_folder, name)
            if key in self.found:
                continue
            if _is_image_name(name):
                self.found[key] = folder / name
            else:
                self.skipped.add(key)

    def _walk(self, top: Path, visited: set[str]) -> Iterator[tuple[Path, "_Listing"]]:
        """Each folder at and below `top` that is not in `visited`, with what it holds.

        Links to folders come last, so that a folder is found under its own name and not under
        that of a link beside it.
        """
        folders = [top]
        linked: deque[Path] = deque()
        while folders or linked:
            folder = folders.pop() if folders else linked.popleft()
            real_folder = os.path.realpath(folder)
            if real_folder in visited or self._is_excluded(folder):
                continue
            visited.add(real_folder)
            listing = self._list(folder)
            if listing is not None:
                folders += [folder / name for name in listing.folders if name[0] != "."]
                linked += [folder / name for name in listing.linked_folders if name[0] != "."]
                yield folder, listing

    def _is_excluded(self, folder: Path) -> bool:
        if os.path.realpath(folder) not in self._excluded:
            return False
        self.passed_over[folder] = None
        return True

    def _list(self, folder: Path) -> "_Listing | None":
        """What a folder holds, or None, noted in `unreadable`, if it cannot be listed."""
        listing = _Listing([], [], [])
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    # The folder's own record of types: no file is looked up, only links are.
                    if entry.is_symlink():
                        is_linked = _is_folder(folder / entry.name)
                        names = listing.linked_folders if is_linked else listing.files
                    else:
                        names = listing.folders if entry.is_dir() else listing.files
                    names.append(entry.name)
        except OSError:
            if folder not in self.unreadable:
                self.unreadable.append(folder)
            return None
        if RUN_MARK in listing.folders:
            listing.folders[:] = [n for n in listing.folders if n not in RESULT_FOLDERS]
        return listing


@dataclass(frozen=True)
class _Listing:
    """The names in a folder, hidden ones too, each kind sorted."""

    files: list[str]
    folders: list[str]
    linked_folders: list[str]


def _read_list(from_file: str, null_separated: bool, stdin: BinaryIO | None) -> list[str]:
    if from_file == "-" and stdin is None and sys.stdin is None:
        raise UsageError(
            "--from-file: standard input is closed. Expected one path a line. "
            "Pipe a list into odise, or name a file."
        )
    try:
        if from_file == "-":
            data = (stdin or sys.stdin.buffer).read()
        else:
            data = Path(from_file).read_bytes()
    except OSError as error:
        raise UsageError(
            f"--from-file: {printable(from_file)} cannot be read ({error.strerror}). "
            "Expected a file that names one image a line. Check the path."
        ) from error
    if null_separated:
        return [os.fsdecode(entry) for entry in data.split(b"\0") if entry]
    if b"\0" in data:
        raise UsageError(
            f"--from-file: {printable(from_file)} holds NUL bytes. "
            "Expected one path a line. Add -0 if NUL separates the paths."
        )
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [os.fsdecode(line.removesuffix(b"\r")) for line in lines if line.strip()]


def _without_file_scheme(name: str) -> str:
    return str(parse_location(name)) if is_url(name) else name


def _absolute(path: Path) -> Path:
    """The path from the root of the file system, without `..`, links in it left as they are."""
    if ".." not in path.parts:
        return path.absolute()
    # What `..` means depends on the links before it.
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def _is_folder(path: Path) -> bool:
    """Whether it is a folder or a link to one; a name too long or a circular link is not."""
    return os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises for these)


def _has_wildcard(text: str) -> bool:
    return any(character in text for character in "*?[")


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """Names that match one part of a pattern; hidden ones only if the pattern is hidden too."""
    return [
        name for name in names if fnmatch(name, pattern) and (name[0] != "." or pattern[0] == ".")
    ]


def _is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in image_suffixes()  # noqa: PTH122 (a million times)


def _nothing_found(sources: Sequence[str], search: _Search) -> str:
    shown = [repr(printable(source)) for source in sources[:_NUM_SOURCES_SHOWN]]
    if len(sources) > _NUM_SOURCES_SHOWN:
        shown.append(f"{len(sources) - _NUM_SOURCES_SHOWN:,} more")
    found = [f"no image was found in {', '.join(shown) or 'an empty list'}"]
    for path in search.unreadable[:_NUM_SOURCES_SHOWN]:
        problem = "cannot be listed" if os.path.lexists(path) else "does not exist"
        found.append(f"{printable(str(path))} {problem}")
    found += [
        f"{printable(str(path))} is not searched, since results are written there"
        for path in search.passed_over
    ]
    if search.skipped:
        found.append(f"{len(search.skipped):,} other files were skipped")
    return (
        f"SOURCES: {'; '.join(found)}. Expected files that end in .jpg, .png, .tif, .webp or the "
        "like. Check the paths, or name a file itself to read it whatever its ending."
    )
