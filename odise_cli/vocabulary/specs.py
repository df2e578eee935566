"""What a vocabulary spec names: a file, a bundled label set, or a list spelled out.

Finds and decodes; the formats are in `formats.py`. Knows nothing of other specs.

A spec is, in this order: an existing file; a bundled name, with or without `.txt`; a list. A
single word may be a list (`cat`), so a spec that looks like a file or nearly like a bundled name
is taken for a slip and refused with what it may have meant; a `;` after it makes it a list.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from odise_cli.errors import MissingDataError, UsageError
from odise_cli.vocabulary.checks import check_entries
from odise_cli.vocabulary.entries import Entry, Problems
from odise_cli.vocabulary.formats import parse_file, parse_inline

_PACKAGE: Final = Path(__file__).parents[1]
_FOLDERS: Final = (_PACKAGE / "_vocabularies", _PACKAGE.parent / "vocabularies")
"""Where a wheel has them, and where a checkout has them."""
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, kw_only=True)
class WordList:
    """The categories that one spec names, without an error of their own."""

    label: str
    """What messages call it, e.g. `ade150.txt`."""
    entries: tuple[Entry, ...]
    """At least one."""
    warnings: tuple[str, ...]
    """Line by line; what categories do to each other is `checks.overlap_warnings`."""
    is_bundled: bool


def bundled_names() -> tuple[str, ...]:
    """The names of the label sets that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _bundled_folder().glob("*.txt")))


def read_word_list(spec: str) -> WordList:
    """Find, decode, parse and check what one spec names.

    Raises:
        UsageError: it cannot be read as a vocabulary; all errors, each with file and line.
        MissingDataError: there is no such file or bundled label set.
    """
    problems = Problems()
    path, is_bundled = _find(spec)
    if path is None:
        label = "--vocab"
        entries = parse_inline(spec, problems)
    else:
        label = path.name if is_bundled else spec
        entries = parse_file(_read_text(path, label), label, problems)
    check_entries(entries, problems)
    problems.raise_errors()
    if not entries:
        raise UsageError(
            f"{label}: holds no category. Expected at least one, such as: name, synonym, synonym. "
            "Add one, or use a bundled vocabulary such as ade150."
        )
    return WordList(
        label=label,
        entries=tuple(entries),
        warnings=tuple(problems.warnings),
        is_bundled=is_bundled,
    )


def _bundled_folder() -> Path:
    return next(folder for folder in _FOLDERS if folder.is_dir())


def _find(spec: str) -> tuple[Path | None, bool]:
    """The file that a spec names and whether it is ours; None where the spec is a list."""
    path = Path(spec)
    exists, is_folder = _look_at(path)
    if exists and not is_folder:
        return path, False
    name = spec.removesuffix(".txt")
    if name in bundled_names():
        return _bundled_folder() / f"{name}.txt", True
    if is_folder and spec:
        raise UsageError(
            f"{spec}: is a folder. Expected a vocabulary file, a bundled name or a list such as "
            f"'cat; dog'. Name a file in it, or write '{spec};' if it is a word."
        )
    _check_is_list(spec)
    return None, False


def _look_at(path: Path) -> tuple[bool, bool]:
    """Whether a path exists and whether it is a folder; a list may be too long for a path."""
    try:
        return path.exists(), path.is_dir()
    except OSError:
        return False, False


def _check_is_list(spec: str) -> None:
    """Refuse a spec that was meant to be a file or a bundled name and is neither.

    Raises:
        MissingDataError: with what it may have meant.
    """
    has_suffix = spec.lower().endswith((".txt", ".json"))
    if re.search("[;,|]", spec) and not has_suffix:
        return
    close = _close_names(spec)
    if not has_suffix and "/" not in spec and not close:
        return
    meant = f"Did you mean {' or '.join(close)}?" if close else "See `odise vocab list`."
    word = "" if has_suffix else f" Write '{spec};' if it is a word."
    raise MissingDataError(
        f"{spec}: there is no such vocabulary. Expected a file, a bundled name or a list such as "
        f"'cat; dog'. {meant}{word}"
    )


def _close_names(spec: str) -> list[str]:
    """Bundled names with the same letters before the digits, or a slip of the pen away."""
    name = Path(spec).name.lower().removesuffix(".txt").removesuffix(".json")
    letters = re.match("[a-z]+(?![a-z ])", name)
    same = [n for n in bundled_names() if letters and n.rstrip("0123456789") == letters[0]]
    return same or difflib.get_close_matches(name, bundled_names(), cutoff=0.8)


def _read_text(path: Path, label: str) -> str:
    """The text of a file, its lines ended by newlines.

    Raises:
        MissingDataError: the system refuses to read it.
        UsageError: it is not UTF-8 text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingDataError(
            f"{label}: cannot be read: {error.strerror}. Expected a file that this user may read. "
            "Change its permissions or give another."
        ) from error
    if data.startswith(_UTF16_MARKS):
        raise UsageError(
            f"{label}: is UTF-16. Expected UTF-8. Convert it: iconv -f UTF-16 -t UTF-8."
        )
    control = _CONTROL.search(data)
    if control:
        raise UsageError(
            f"{label}:{_line_of(data, control.start())}: holds the byte 0x{control[0].hex()}, so "
            "this is no text file. Expected UTF-8 text or JSON. Give another file."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{label}:{_line_of(data, error.start)}: the byte 0x{data[error.start]:02x} is not "
            "UTF-8. Expected UTF-8. Convert the file, if it is Latin-1 with: "
            "iconv -f LATIN1 -t UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(data: bytes, offset: int) -> int:
    return len(re.findall(b"\r\n|\n|\r", data[:offset])) + 1
