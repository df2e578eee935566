"""Mapillary Vistas v1.2, validation: 65 categories, 37 of them things.

    mapillary_vistas/validation/
    ├── images/*.jpg
    └── v1.2/                           or without this folder, as the first release has it
        ├── panoptic/panoptic_2018.json and *.png
        └── instances/*.png             16 bits: 256 · category + instance; read without the JSON

The categories of the JSON file are known by their names: its ids count from 1, those of the
instance maps from 0.

Source: https://www.mapillary.com/dataset/vistas.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    read_json,
    value_to_category,
)
from odise_cli.data.label_images import read_label_png
from odise_cli.data.names import natural_key
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, LabelRuns, Labels, Region

ORIGIN: Final = "https://www.mapillary.com/dataset/vistas"
NUM_IMAGES: Final = 2000
_JSON, _INSTANCES = "panoptic/panoptic_2018.json", "instances"
_OUTPUTS: Final = ("panoptic", "semantic")
_UNLABELED = 65
"""What the instance maps call void."""
_INSTANCE_BITS = 8


def open_mapillary(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`; the panoptic JSON is preferred to the instance maps.

    Args:
        data: holds `mapillary_vistas`, or is it.
        categories: the 65 categories in their own order, ids from 0, `mapillary65`.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: the JSON contradicts itself or the categories.
    """
    root = find_folder(data, "mapillary_vistas", marker="validation", origin=ORIGIN) / "validation"
    for folder in (root / "v1.2", root):
        if (folder / _JSON).is_file():
            return _open_json(folder / _JSON, root / "images", categories)
    for folder in (root / "v1.2", root):
        if (folder / _INSTANCES).is_dir():
            return _open_instances(folder / _INSTANCES, root / "images", categories)
    raise MissingDataError(
        f"{root}: has neither v1.2/{_JSON} nor v1.2/{_INSTANCES}. Expected one of them. "
        f"Get it from {ORIGIN}."
    )


def _open_json(path: Path, images: Path, categories: Sequence[Category]) -> Dataset:
    document = read_json(path, required={"categories": ("id", "name")})
    id_of_name = {str(entry["name"]).casefold(): entry["id"] for entry in document["categories"]}
    lacking = [c.name for c in categories if c.name.casefold() not in id_of_name]
    if lacking:
        raise UsageError(
            f"{path}: has no category {lacking[0]!r}, nor {len(lacking) - 1} more of the 65. "
            "Expected those of version 1.2. Give its file, not that of version 2.0."
        )
    as_in_file = [replace(c, id=id_of_name[c.name.casefold()]) for c in categories]
    pair = open_coco_panoptic(
        path, path.parent, as_in_file, images=images, num_published_images=NUM_IMAGES
    )
    return replace(
        pair,
        categories=tuple(categories),
        counts=(
            _count_images(images, pair.image_names),
            *(replace(count, origin=ORIGIN) for count in pair.counts),
        ),
        outputs=_OUTPUTS,
    )


def _open_instances(masks: Path, images: Path, categories: Sequence[Category]) -> Dataset:
    stems = sorted((path.stem for path in masks.glob("*.png")), key=natural_key)
    names = tuple(f"{stem}.jpg" for stem in stems)

    return Dataset(
        categories=tuple(categories),
        image_names=names,
        read_entry=partial(_read, masks, categories),
        counts=(
            _count_images(images, names),
            Count(
                what=f"{_INSTANCES}/*.png", found=len(stems), published=NUM_IMAGES, origin=ORIGIN
            ),
        ),
        num_published_images=NUM_IMAGES,
        outputs=_OUTPUTS,
        images=images,
    )


def _read(masks: Path, categories: Sequence[Category], name: str) -> Labels:
    return read_labels(masks / f"{Path(name).stem}.png", categories)


def read_labels(path: Path, categories: Sequence[Category]) -> Labels:
    """The semantic and panoptic ground truth of one instance map.

    A region's id is the value of its pixels and 1, for stuff without the instance.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it holds a category that is none.
    """
    values_HW = read_label_png(path)
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    category_of_value[_UNLABELED] = VOID_CATEGORY
    semantic_HW = value_to_category(values_HW >> _INSTANCE_BITS, category_of_value, where=path)
    is_thing = np.zeros(VOID_CATEGORY + 1, bool)
    is_thing[: len(categories)] = [category.isthing for category in categories]
    without_instance_HW = values_HW >> _INSTANCE_BITS << _INSTANCE_BITS
    ids_HW = np.where(is_thing[semantic_HW], values_HW, without_instance_HW) + 1
    panoptic_HW = np.where(semantic_HW == VOID_CATEGORY, 0, ids_HW).astype(np.int32)
    regions = tuple(
        Region(id=id_, category=category_of_value[(id_ - 1) >> _INSTANCE_BITS])
        for id_ in np.flatnonzero(np.bincount(panoptic_HW.ravel())).tolist()
        if id_
    )
    return Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=regions,
        semantic=LabelRuns.of_map(semantic_HW),
    )


def _count_images(images: Path, names: Sequence[str]) -> Count:
    return count_files(
        "images/*.jpg", [images / name for name in names], published=NUM_IMAGES, origin=ORIGIN
    )
