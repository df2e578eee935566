"""What a dataset is to an evaluation, and what all readers share.

Knows folders and label maps; does not know vocabularies' files or predictions.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.names import natural_key
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, LabelRuns, Labels


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images with ground truth, which is read one image at a time."""

    categories: tuple[Category, ...]
    image_names: tuple[str, ...]
    """Relative paths with `/`, all different, in the order of a search for images."""
    read_entry: Callable[[Any], Labels]
    """The ground truth of an image, by its entry. Can be pickled, for other processes, which
    then need not open the dataset; may be called from several threads."""
    counts: tuple[Count, ...]
    """What `--self-check` says."""
    num_published_images: int | None
    """None where nobody says."""
    outputs: tuple[str, ...]
    """The outputs of a segmentation that there is ground truth for: panoptic, instances …"""
    images: Path | None
    """The folder that `image_names` are relative to; None if it is unknown: scoring needs none."""
    frequencies: tuple[str, ...] | None = None
    """Of each category: rare "r", common "c" or frequent "f". Such datasets are federated: an
    image is judged by the categories that it has, or is known not to have. None: by all."""
    has_recall: bool = False
    """Class-agnostic recall is one of the benchmark's figures."""
    is_class_agnostic: bool = False
    """Instances have no category: what predictions call them does not matter."""
    max_short_side_px: int | None = None
    """Images and labels are shrunk to this before anything else, by the benchmark's protocol;
    `read` gives labels of that size. None: nothing is."""
    image_ids: Mapping[str, int] | None = None
    """The dataset's own id of each image by name; None where it has none but the names."""
    entries: Mapping[str, Any] | None = None
    """What `read_entry` takes of each image, by name; None: the name itself."""

    def entry(self, name: str) -> Any:
        """What `read_entry` takes of the image of this name."""
        return name if self.entries is None else self.entries[name]

    def read(self, name: str) -> Labels:
        """The ground truth of the image of this name."""
        return self.read_entry(self.entry(name))


def find_folder(data: Path, name: str, *, marker: str, origin: str) -> Path:
    """The folder `name` of a download, below `data` or `data` itself.

    Args:
        data: what the user gave.
        name: how the download calls its folder.
        marker: a path in it by which it is known.
        origin: where its owner publishes it.

    Raises:
        MissingDataError: neither has the marker.
    """
    for folder in (data / name, data):
        if (folder / marker).exists():
            return folder
    raise MissingDataError(
        f"{data / name}: has no {marker}. Expected the folder as it is published. "
        f"Get it from {origin}, or give the folder that holds {name}/ with --data."
    )


def require(path: Path, *, origin: str) -> Path:
    """A part of a dataset that has to be there.

    Raises:
        MissingDataError: it is not.
    """
    if not path.exists():
        raise MissingDataError(
            f"{path}: is not there. Expected a part of the dataset. Get it from {origin}."
        )
    return path


def read_stems(path: Path) -> list[str]:
    """The images' stems of a list with a line each, in natural order.

    Raises:
        MissingDataError: there is no such file.
        UsageError: one is listed twice.
    """
    try:
        stems = sorted(path.read_text(encoding="utf-8").split(), key=natural_key)
    except FileNotFoundError as error:
        raise MissingDataError(
            f"{path}: is not there. Expected a list of the dataset's images. Check the path."
        ) from error
    (twice, times), *_ = Counter(stems).most_common(1) or [("", 0)]
    if times > 1:
        raise UsageError(
            f"{path}: has {twice!r} twice. Expected every image once. Remove a line, or "
            "download the file again."
        )
    return stems


def count_files(
    what: str, paths: Iterable[Path], *, origin: str, published: int | None = None
) -> Count:
    """How many of the files that there should be are there.

    Args:
        what: what a self-check calls them.
        paths: the files.
        origin: where the owner publishes them.
        published: how many the owner has, if these may be fewer.
    """
    paths = list(paths)
    missing = tuple(path.name for path in paths if not path.is_file())
    return Count(
        what=what,
        found=len(paths) - len(missing),
        published=len(paths) if published is None else published,
        missing=missing,
        origin=origin,
    )


def read_json(path: Path, *, required: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """An annotation file: lists of objects, each with some keys.

    Args:
        path: the JSON file.
        required: the keys that every object of each list must have.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no JSON, has not these lists, or an object lacks a key.
    """
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise MissingDataError(
            f"{path}: is not there. Expected an annotation file. Check the path."
        ) from error
    except ValueError as error:
        raise UsageError(
            f"{path}: is no JSON: {error}. Expected an annotation file. Download it again."
        ) from error
    for name, keys in required.items():
        entries = document.get(name) if isinstance(document, dict) else None
        if not isinstance(entries, list):
            raise UsageError(
                f"{path}: has no list {name!r}. Expected COCO's format. Check the path."
            )
        for number, entry in enumerate(entries):
            lacking = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if lacking:
                raise UsageError(
                    f"{path}: {name}[{number}] has no {lacking[0]!r}. Expected COCO's format. "
                    "Correct the file, or download it again."
                )
    return dict(document)


def value_to_category(
    labels: NDArray[np.int32],
    category_of_value: Mapping[int, int],
    *,
    where: Path,
    advice: str = "Check the vocabulary.",
) -> NDArray[np.uint16]:
    """The category index of each value of a label map, in its shape.

    Args:
        labels: values of the file's pixels or runs, from 0.
        category_of_value: the category index of each value, 65535 for void.
        where: the file, for messages.
        advice: the last sentence of the message.

    Raises:
        UsageError: a pixel has a value that is no category.
    """
    table = np.full(max(int(labels.max()), *category_of_value) + 1, -1, np.int64)
    table[list(category_of_value)] = list(category_of_value.values())
    categories = table[labels]
    if (categories < 0).any():
        value = int(labels[categories < 0][0])
        voids = [str(v) for v, category in category_of_value.items() if category == VOID_CATEGORY]
        raise UsageError(
            f"{where}: has pixels of the value {value}, which is no category. Expected ids of the "
            f"vocabulary, or void: {', '.join(voids)}. {advice}"
        )
    return categories.astype(np.uint16)


def runs_to_categories(
    runs: LabelRuns,
    category_of_value: Mapping[int, int],
    *,
    where: Path,
    advice: str = "Check the vocabulary.",
) -> LabelRuns:
    """`value_to_category` of a label map's runs."""
    return replace(
        runs, values=value_to_category(runs.values, category_of_value, where=where, advice=advice)
    )
