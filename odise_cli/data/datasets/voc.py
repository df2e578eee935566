"""PASCAL VOC 2012, segmentation, with its background as a category.

    VOCdevkit/VOC2012/
    ├── ImageSets/Segmentation/val.txt
    ├── JPEGImages/*.jpg
    └── SegmentationClass/*.png     palette: 0 background, 1..20, 255 void

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    read_stems,
    runs_to_categories,
)
from odise_cli.data.label_images import read_label_runs
from odise_cli.structures import VOID_CATEGORY, Category, Count, Labels

ORIGIN: Final = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012"
NUM_IMAGES: Final = 1449
_VOID_VALUE = 255
_LIST = "ImageSets/Segmentation/val.txt"


def open_voc(data: Path, categories: Sequence[Category]) -> Dataset:
    """The segmentation validation set below `data`.

    Args:
        data: holds `VOCdevkit`, or is it.
        categories: the 21 categories whose ids are the maps' values, `voc21`.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: an image is listed twice.
    """
    root = find_folder(data, "VOCdevkit", marker=f"VOC2012/{_LIST}", origin=ORIGIN) / "VOC2012"
    stems = read_stems(root / _LIST)
    masks, images = root / "SegmentationClass", root / "JPEGImages"
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    category_of_value[_VOID_VALUE] = VOID_CATEGORY

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(f"{stem}.jpg" for stem in stems),
        read_entry=partial(_read, masks, category_of_value),
        counts=(
            Count(what=f"images in {_LIST}", found=len(stems), published=NUM_IMAGES, origin=ORIGIN),
            count_files(
                "SegmentationClass/*.png", [masks / f"{stem}.png" for stem in stems], origin=ORIGIN
            ),
            count_files(
                "JPEGImages/*.jpg", [images / f"{stem}.jpg" for stem in stems], origin=ORIGIN
            ),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("semantic",),
        images=images,
    )


def _read(masks: Path, category_of_value: Mapping[int, int], name: str) -> Labels:
    path = masks / f"{Path(name).stem}.png"
    return Labels(semantic=runs_to_categories(read_label_runs(path), category_of_value, where=path))
