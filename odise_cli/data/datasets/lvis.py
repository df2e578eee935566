"""LVIS v1, validation: instances of 1,203 categories; images are judged by some of them.

    lvis_v1_val.json           or in a folder lvis/
    coco/val2017/*.jpg         the images are COCO's, of both splits
    coco/train2017/*.jpg

Of an image are judged the categories that it has, and those in `neg_category_ids`, which it has
not; of those in `not_exhaustive_category_ids` only some instances are annotated.

Source: https://www.lvisdataset.org/dataset.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

from odise_cli.data.datasets.coco import annotation_to_mask, entries_by_image
from odise_cli.data.datasets.dataset import Dataset, count_files, find_folder, read_json
from odise_cli.data.names import natural_key
from odise_cli.errors import UsageError
from odise_cli.structures import Category, Count, Labels

ORIGIN: Final = "https://www.lvisdataset.org/dataset"
IMAGES_ORIGIN: Final = "https://cocodataset.org/#download (val2017.zip and train2017.zip)"
NUM_IMAGES: Final = 19_809
_JSON: Final = "lvis_v1_val.json"
_REQUIRED: Final = {
    "images": (
        "id",
        "coco_url",
        "height",
        "width",
        "neg_category_ids",
        "not_exhaustive_category_ids",
    ),
    "annotations": ("id", "image_id", "category_id", "segmentation", "area"),
    "categories": ("id", "frequency"),
}
_FREQUENCIES: Final = ("r", "c", "f")


def open_lvis(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds the JSON file and `coco`.
        categories: the 1,203 categories with LVIS's ids, `lvis1203`.

    Raises:
        MissingDataError: the JSON file is not there.
        UsageError: it contradicts itself or the categories.
    """
    path = find_folder(data, "lvis", marker=_JSON, origin=ORIGIN) / _JSON
    document = read_json(path, required=_REQUIRED)
    frequencies = _frequencies(document, categories, where=path)
    # The address tells the folder: most images are of COCO's training set.
    images = {
        "/".join(PurePosixPath(image["coco_url"]).parts[-2:]): image for image in document["images"]
    }
    entries = entries_by_image(document, where=path)
    index_of_id = {category.id: index for index, category in enumerate(categories)}

    names = tuple(sorted(images, key=natural_key))
    folder = data / "coco" if (data / "coco").is_dir() else path.parent.parent / "coco"
    return Dataset(
        categories=tuple(categories),
        image_names=names,
        read_entry=partial(_read, index_of_id, path),
        entries={name: (image, entries[image["id"]]) for name, image in images.items()},
        counts=(
            Count(what=f"images in {_JSON}", found=len(names), published=NUM_IMAGES, origin=ORIGIN),
            Count(
                what=f"categories in {_JSON}",
                found=len(frequencies),
                published=len(categories),
                origin=ORIGIN,
            ),
            count_files(
                "coco/*2017/*.jpg", [folder / name for name in names], origin=IMAGES_ORIGIN
            ),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("instances",),
        images=folder,
        frequencies=frequencies,
    )


def _frequencies(
    document: Mapping[str, Any], categories: Sequence[Category], *, where: Path
) -> tuple[str, ...]:
    """How frequent the file says that each category is."""
    frequency_of = {entry["id"]: entry["frequency"] for entry in document["categories"]}
    frequencies = tuple(frequency_of.get(category.id, "") for category in categories)
    wrong = [c.id for c, f in zip(categories, frequencies, strict=True) if f not in _FREQUENCIES]
    if wrong or len(frequency_of) != len(categories):
        raise UsageError(
            f"{where}: has {len(frequency_of):,} categories, and no frequency of {wrong[:3]}. "
            f"Expected the {len(categories):,} of LVIS v1, each {', '.join(_FREQUENCIES)}. "
            "Download the file again."
        )
    return frequencies


def _read(
    index_of_id: Mapping[int, int],
    where: Path,
    entry: tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]],
) -> Labels:
    return read_labels(*entry, index_of_id, where=where)


def read_labels(
    image: Mapping[str, Any],
    entries: Sequence[Mapping[str, Any]],
    index_of_id: Mapping[int, int],
    *,
    where: Path,
) -> Labels:
    """The instances of one image, and what is known of the categories that it has not.

    Raises:
        UsageError: a category is unknown, or a mask has another size than the image.
    """
    size = image["height"], image["width"]
    masks = tuple(
        annotation_to_mask({"iscrowd": 0, **entry}, index_of_id, size, where=where)
        for entry in entries
    )
    kinds = {}
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        unknown = [id_ for id_ in image[key] if id_ not in index_of_id]
        if unknown:
            raise UsageError(
                f"{where}: the {key} of the image {image['id']} have {unknown[0]}, which is no "
                "category. Expected LVIS's ids. Download the file again."
            )
        kinds[key] = frozenset(index_of_id[id_] for id_ in image[key])
    return Labels(
        instances=masks,
        image_size=size,
        absent_categories=kinds["neg_category_ids"],
        incomplete_categories=kinds["not_exhaustive_category_ids"],
    )
