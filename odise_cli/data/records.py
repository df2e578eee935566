"""Names, ids and output names of the images of a run.

Knows the list of paths and what an earlier run called them; opens no file.
"""

import hashlib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from odise_cli.data.names import printable
from odise_cli.storage import Location
from odise_cli.structures import ImageRecord

_NUMBER = re.compile("[0-9]{1,18}")
"""A file stem that is an image id; 18 digits always fit the 64-bit integers of other tools."""
_MAX_COMPONENT_BYTES = 200
"""Longest part of an output path; file systems end at 255 and writers add a suffix."""
_OUTPUT_SUFFIXES = (".png", ".jpg")


def make_records(
    paths: Sequence[Location],
    root: Location,
    *,
    known: Mapping[str, tuple[int, str]] | None = None,
    image_ids: Sequence[int] | None = None,
) -> tuple[ImageRecord, ...]:
    """Give every image of a run its name, its id and its output name.

    `name` is the path relative to `root` in printable text (`names.printable`), so that no file
    name breaks a JSON file or a line; where two paths read alike, the later one gets `~2`.

    `image_id` is the integer of the file's stem where every stem is a different integer (COCO's
    habit), else the position in `paths`, counted from 1; `image_ids` win over both.

    `stem` is the name without its suffix. Where two images would share it (letter case and
    Unicode composition aside, since an output folder may ignore both), or where its output file
    would be in the place of a folder, the stem keeps the suffix (`x.jpg`), with `~2`, `~3` … if
    that is taken too. Parts longer than 200 bytes are cut and end in a hash.

    Args:
        paths: The full sorted list; different files below `root`.
        root: Folder that names are relative to.
        known: (image id, stem) by name, as an earlier run into the same folder chose them.
            They are kept, and never given to another image: where the ids above would disagree
            with them, new images are numbered upwards from the highest known id.
        image_ids: An id for each of `paths`, all different, where a data set has its own.
    """
    known = known or {}
    names = _unique_names(paths, root)
    ids = _image_ids(names, known, image_ids)
    stems = _stems(names, known)
    return tuple(
        ImageRecord(path=path, name=name, stem=stems[name], image_id=ids[name])
        for path, name in zip(paths, names, strict=True)
    )


def _unique_names(paths: Sequence[Location], root: Location) -> list[str]:
    # Roots end without a separator, except the file system's own.
    num_cut = len(str(root).rstrip("/")) + 1
    raw_names = [str(path)[num_cut:] for path in paths]
    taken = {name for name in raw_names if printable(name) == name}
    names = []
    for raw_name in raw_names:
        name = printable(raw_name)
        if name != raw_name:
            name = next(c for c in _numbered(name) if c not in taken)
            taken.add(name)
        names.append(name)
    return names


def _image_ids(
    names: Sequence[str], known: Mapping[str, tuple[int, str]], given: Sequence[int] | None
) -> dict[str, int]:
    stems = [posixpath.splitext(posixpath.basename(name))[0] for name in names]
    numbers = {int(stem) for stem in stems if _NUMBER.fullmatch(stem)}
    if given is not None:
        fresh = dict(zip(names, given, strict=True))
    elif len(numbers) == len(names):
        fresh = {name: int(stem) for name, stem in zip(names, stems, strict=True)}
    else:
        fresh = {name: position for position, name in enumerate(names, start=1)}
    known_ids = {name: image_id for name, (image_id, _) in known.items()}
    new_ids = {image_id for name, image_id in fresh.items() if name not in known_ids}
    if all(fresh.get(name, i) == i and i not in new_ids for name, i in known_ids.items()):
        return fresh
    unused = count(max(known_ids.values()) + 1)
    return {name: known_ids[name] if name in known_ids else next(unused) for name in names}


def _stems(names: Sequence[str], known: Mapping[str, tuple[int, str]]) -> dict[str, str]:
    stems = {name: stem for name, (_, stem) in known.items()}
    taken = {_file_system_key(stem) for stem in stems.values()}
    folders = {_file_system_key(_shortened(folder)) for folder in _folders(names)}

    def is_free(stem: str) -> bool:
        key = _file_system_key(stem)
        return key not in taken and not any(key + suffix in folders for suffix in _OUTPUT_SUFFIXES)

    new_names = [name for name in names if name not in known]
    plain = {name: _without_suffix(name) for name in new_names}
    num_plain = Counter(_file_system_key(stem) for stem in plain.values())
    clashing = []
    for name, stem in plain.items():
        if num_plain[_file_system_key(stem)] == 1 and is_free(stem):
            stems[name] = stem
            taken.add(_file_system_key(stem))
        else:
            clashing.append(name)
    for name in clashing:
        stems[name] = next(stem for stem in _numbered(_shortened(name)) if is_free(stem))
        taken.add(_file_system_key(stems[name]))
    return stems


def _folders(names: Sequence[str]) -> set[str]:
    """Every folder that a name has, the outer ones too."""
    folders = {posixpath.dirname(name) for name in names}
    outer = folders
    while outer := {posixpath.dirname(folder) for folder in outer} - folders:
        folders |= outer
    return folders


def _without_suffix(name: str) -> str:
    return _shortened(posixpath.splitext(name)[0])


def _shortened(stem: str) -> str:
    """The stem with every part cut to what file systems hold, told apart by a hash."""
    if len(stem) * 4 <= _MAX_COMPONENT_BYTES:
        return stem
    parts = []
    for part in stem.split("/"):
        encoded = part.encode()
        if len(encoded) > _MAX_COMPONENT_BYTES:
            digest = hashlib.sha256(encoded).hexdigest()[:8]
            part = f"{encoded[: _MAX_COMPONENT_BYTES - 9].decode(errors='ignore')}~{digest}"
        parts.append(part)
    return "/".join(parts)


def _numbered(text: str) -> Iterator[str]:
    yield text
    yield from (f"{text}~{number}" for number in count(2))


def _file_system_key(text: str) -> str:
    """What is equal for two names that some file system takes for one."""
    return unicodedata.normalize("NFC", text.casefold())
