"""PASCAL-Context with its 59 frequent categories.

    VOCdevkit/VOC2010/
    ├── JPEGImages/*.jpg
    ├── trainval_merged.json            the Detail API's annotations, or instead of it
    ├── SegmentationClassContext/*.png  0 void, 1..59
    └── ImageSets/Main/val.txt          which of them are the validation set

Source: https://cs.stanford.edu/~roozbeh/pascal-context and
https://github.com/zhanghang1989/detail-api. The maps are what the field makes of the JSON file:
a later annotation of an image is painted over an earlier one, and only the 59 are kept.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from pycocotools import mask as coco_mask

from odise_cli.data.datasets.context459 import LIST, NUM_IMAGES, VOC2010_ORIGIN
from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    read_json,
    read_stems,
    runs_to_categories,
)
from odise_cli.data.label_images import read_label_runs
from odise_cli.data.names import natural_key
from odise_cli.data.rle import check_rle
from odise_cli.errors import UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, LabelRuns, Labels

ORIGIN: Final = "https://hangzhang.org/PASCAL-Context (trainval_merged.json)"
_JSON, _MASKS = "trainval_merged.json", "SegmentationClassContext"
_REQUIRED: Final = {
    "images": ("image_id", "file_name", "phase", "height", "width"),
    "annos_segmentation": ("image_id", "category_id", "segmentation"),
}
_MAX_ID = 459

ID_OF_59_IN_459: Final = (
    2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113,
    115, 144, 158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326,
    347, 349, 354, 355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458,
)  # fmt: skip
"""What the Detail API, with the ids of the 459 categories, calls category 1, 2, … 59."""


def open_context59(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`; the JSON file is preferred to the folder of maps.

    Args:
        data: holds `VOCdevkit`, or is it.
        categories: the 59 categories whose ids are the maps' values, `context59`.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: an image is listed twice, or the JSON file contradicts itself.
    """
    for folder in (data / "VOCdevkit", data):
        if (folder / "VOC2010" / _MASKS).is_dir() and not (folder / "VOC2010" / _JSON).exists():
            return _open_maps(folder / "VOC2010", categories)
    devkit = find_folder(data, "VOCdevkit", marker=f"VOC2010/{_JSON}", origin=ORIGIN)
    return _open_json(devkit / "VOC2010", categories)


def _open_maps(root: Path, categories: Sequence[Category]) -> Dataset:
    stems = read_stems(root / LIST)
    masks = root / _MASKS
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    category_of_value[0] = VOID_CATEGORY

    names = [f"{stem}.jpg" for stem in stems]
    return Dataset(
        categories=tuple(categories),
        image_names=tuple(names),
        read_entry=partial(_read, masks, category_of_value),
        counts=(
            Count(
                what=f"images in {LIST}",
                found=len(stems),
                published=NUM_IMAGES,
                origin=VOC2010_ORIGIN,
            ),
            count_files(
                f"{_MASKS}/*.png", [masks / f"{stem}.png" for stem in stems], origin=ORIGIN
            ),
            _count_images(root, names),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("semantic",),
        images=root / "JPEGImages",
    )


def _read(masks: Path, category_of_value: Mapping[int, int], name: str) -> Labels:
    path = masks / f"{Path(name).stem}.png"
    return Labels(semantic=runs_to_categories(read_label_runs(path), category_of_value, where=path))


def _open_json(root: Path, categories: Sequence[Category]) -> Dataset:
    path = root / _JSON
    images, annotations = _validation_part(path)
    index_of_59 = {category.id: index for index, category in enumerate(categories)}
    index_of_459 = {
        id_459: index_of_59[id_59] for id_59, id_459 in enumerate(ID_OF_59_IN_459, start=1)
    }

    names = tuple(sorted(images, key=natural_key))
    return Dataset(
        categories=tuple(categories),
        image_names=names,
        read_entry=partial(_paint, index_of_459, path),
        entries={name: (images[name], annotations[name]) for name in names},
        counts=(
            Count(
                what=f"validation images in {_JSON}",
                found=len(names),
                published=NUM_IMAGES,
                origin=ORIGIN,
            ),
            _count_images(root, names),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("semantic",),
        images=root / "JPEGImages",
    )


def _count_images(root: Path, names: Sequence[str]) -> Count:
    paths = [root / "JPEGImages" / name for name in names]
    return count_files("JPEGImages/*.jpg", paths, origin=VOC2010_ORIGIN)


def _validation_part(
    path: Path,
) -> tuple[dict[str, Mapping[str, Any]], dict[str, list[Mapping[str, Any]]]]:
    """The validation images of the JSON file and their annotations, by file name."""
    document = read_json(path, required=_REQUIRED)
    images: dict[str, Mapping[str, Any]] = {}
    name_of_id: dict[Any, str] = {}
    for image in document["images"]:
        image_id, name = image["image_id"], image["file_name"]
        if image_id in name_of_id or name in images:
            raise UsageError(
                f"{path}: has the image {name!r} (image_id {image_id}) twice. Expected every "
                "image once. Download the file again."
            )
        name_of_id[image_id] = name
        if image["phase"] == "val":
            images[name] = image
    annotations: dict[str, list[Mapping[str, Any]]] = {name: [] for name in images}
    for entry in document["annos_segmentation"]:
        if entry["image_id"] not in name_of_id:
            raise UsageError(
                f"{path}: has an annotation of the image_id {entry['image_id']}, which is not "
                "among its images. Expected an entry in both. Download the file again."
            )
        if name_of_id[entry["image_id"]] in annotations:
            annotations[name_of_id[entry["image_id"]]].append(entry)
    return images, annotations


def _paint(
    index_of_459: Mapping[int, int],
    where: Path,
    entry: tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]],
) -> Labels:
    image, annotations = entry
    size = image["height"], image["width"]
    semantic_HW = np.full(size, VOID_CATEGORY, np.uint16)
    for annotation in annotations:
        category_id, rle = annotation["category_id"], annotation["segmentation"]
        if not 1 <= category_id <= _MAX_ID:
            raise UsageError(
                f"{where}: {image['file_name']!r} has the category_id {category_id}, which is no "
                f"category. Expected 1 to {_MAX_ID}. Download the file again."
            )
        what = f"{where}: a mask of {image['file_name']!r}"
        check_rle(rle, size, what=what, advice="Download the file again.")
        is_inside_HW = coco_mask.decode(rle).astype(bool)
        semantic_HW[is_inside_HW] = index_of_459.get(category_id, VOID_CATEGORY)
    return Labels(semantic=LabelRuns.of_map(semantic_HW))
