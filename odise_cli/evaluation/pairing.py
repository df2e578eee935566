"""Which prediction belongs to which image of a dataset, and whether both mean the same words.

Knows names and categories; opens no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from odise_cli.errors import UsageError
from odise_cli.structures import Category

_NUM_DIFFERENCES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class ImagePair:
    """One image of a dataset and the prediction for it."""

    name: str
    predicted_name: str


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """The prediction of each image."""

    pairs: tuple[ImagePair, ...]
    """In the order of the dataset's images."""
    unused_names: tuple[str, ...]
    """Predictions that belong to no image that is scored."""


def pair_images(
    names: Sequence[str], predicted_names: Sequence[str], *, dataset: str, folder: str
) -> Pairing:
    """Find the prediction of every image of a dataset by its file name without the suffix.

    Folders count only where the dataset has two images of one file name: predictions may have
    been made from a folder further up or down.

    Args:
        names: the dataset's images, relative paths with `/`.
        predicted_names: the images that have predictions, likewise.
        dataset: what messages call the dataset.
        folder: what messages call the predictions.

    Raises:
        UsageError: an image has no prediction, or more than one.
    """
    stems = [_stem(name) for name in names]
    uses_folders = len({PurePosixPath(stem).name for stem in stems}) < len(stems)

    def key(stem: str) -> str:
        return stem if uses_folders else PurePosixPath(stem).name

    by_key: dict[str, list[str]] = {}
    for predicted_name in predicted_names:
        by_key.setdefault(key(_stem(predicted_name)), []).append(predicted_name)
    missing = [name for name, stem in zip(names, stems, strict=True) if key(stem) not in by_key]
    if missing:
        example = f" (there is one for {predicted_names[0]!r})" if predicted_names else ""
        raise UsageError(
            f"{folder}: has no prediction for {len(missing):,} of {len(names):,} images of "
            f"{dataset}, the first is {missing[0]!r}{example}. Expected one for every image. "
            "Segment the rest into the same folder, or score only the first ones with --limit."
        )
    pairs = []
    for name, stem in zip(names, stems, strict=True):
        first, *others = by_key.pop(key(stem))
        if others:
            raise UsageError(
                f"{folder}: {first!r} and {others[0]!r} are both predictions for {name!r} of "
                f"{dataset}. Expected one. Segment the dataset's own images only."
            )
        pairs.append(ImagePair(name=name, predicted_name=first))
    unused = tuple(name for names_of_key in by_key.values() for name in names_of_key)
    return Pairing(pairs=tuple(pairs), unused_names=unused)


def check_same_categories(
    expected: Sequence[Category], found: Sequence[Category], *, dataset: str, folder: str
) -> None:
    """Refuse predictions in other words than the dataset's; order and synonyms may differ.

    Raises:
        UsageError: an id is missing or too many, or has another name or thing flag.
    """
    wanted = {category.id: category for category in expected}
    present = {category.id: category for category in found}
    differences = []
    for category_id in sorted(wanted.keys() | present.keys()):
        was, should = present.get(category_id), wanted.get(category_id)
        if was is None or should is None or _identity(was) != _identity(should):
            differences.append(f"id {category_id} is {_shown(was)} instead of {_shown(should)}")
    if differences:
        more = len(differences) - _NUM_DIFFERENCES_SHOWN
        text = "; ".join(differences[:_NUM_DIFFERENCES_SHOWN])
        raise UsageError(
            f"{folder}: made with another vocabulary than that of {dataset}: {text}"
            + (f"; and {more:,} more" if more > 0 else "")
            + ". Expected the same ids, names and thing flags. Segment the images again with the "
            "dataset's vocabulary."
        )


def _identity(category: Category) -> tuple[str, bool]:
    return category.name, category.isthing


def _shown(category: Category | None) -> str:
    if category is None:
        return "(none)"
    return f"{category.name!r} ({'thing' if category.isthing else 'stuff'})"


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()
