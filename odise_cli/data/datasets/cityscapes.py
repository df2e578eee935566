"""Cityscapes' validation set: 19 categories, 8 of them things.

    cityscapes/
    ├── leftImg8bit/val/<city>/*_leftImg8bit.png
    └── gtFine/val/<city>/*_gtFine_instanceIds.png and *_gtFine_labelIds.png

A pixel of `instanceIds` is label id · 1000 + number for an instance, and the label id alone for
stuff and for a group of things that nobody separated: a crowd. Labels that the benchmark does
not evaluate are void.

Source: https://www.cityscapes-dataset.com; its panoptic ground truth (cityscapesScripts,
createPanopticImgs) follows the same rules.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    require,
    value_to_category,
)
from odise_cli.data.label_images import read_label_png
from odise_cli.data.names import natural_key
from odise_cli.errors import UsageError
from odise_cli.structures import VOID_CATEGORY, Category, LabelRuns, Labels, Region

ORIGIN: Final = "https://www.cityscapes-dataset.com/downloads (gtFine_trainvaltest.zip)"
IMAGES_ORIGIN: Final = "https://www.cityscapes-dataset.com/downloads (leftImg8bit_trainvaltest.zip)"
NUM_IMAGES: Final = 500
_MASKS, _IMAGES = "gtFine/val", "leftImg8bit/val"
_IMAGE_SUFFIX, _INSTANCE_SUFFIX, _LABEL_SUFFIX = (
    "_leftImg8bit.png",
    "_gtFine_instanceIds.png",
    "_gtFine_labelIds.png",
)
_NUM_LABELS = 34
"""Label ids are 0 to 33; those that are no category are void."""
_FIRST_INSTANCE = 1000


def open_cityscapes(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds `cityscapes`, or is it.
        categories: the 19 categories whose ids are label ids, `cityscapes19`.

    Raises:
        MissingDataError: a part of it is not there.
    """
    root = find_folder(data, "cityscapes", marker=_MASKS, origin=ORIGIN)
    masks, images = require(root / _MASKS, origin=ORIGIN), root / _IMAGES
    # Either of the maps tells that there is an image, so that a missing one is noticed.
    scenes = sorted(
        {
            path.relative_to(masks).as_posix()[: -len(suffix)]
            for suffix in (_INSTANCE_SUFFIX, _LABEL_SUFFIX)
            for path in masks.glob(f"*/*{suffix}")
        },
        key=natural_key,
    )

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(f"{scene}{_IMAGE_SUFFIX}" for scene in scenes),
        read_entry=partial(_read, masks, categories),
        counts=tuple(
            count_files(
                f"{folder.relative_to(root).as_posix()}/*/*{suffix}",
                [folder / f"{scene}{suffix}" for scene in scenes],
                published=NUM_IMAGES,
                origin=origin,
            )
            for folder, suffix, origin in (
                (images, _IMAGE_SUFFIX, IMAGES_ORIGIN),
                (masks, _INSTANCE_SUFFIX, ORIGIN),
                (masks, _LABEL_SUFFIX, ORIGIN),
            )
        ),
        num_published_images=NUM_IMAGES,
        outputs=("panoptic", "instances", "semantic"),
        images=images,
    )


def _read(masks: Path, categories: Sequence[Category], name: str) -> Labels:
    scene = name[: -len(_IMAGE_SUFFIX)]
    return read_labels(
        masks / f"{scene}{_LABEL_SUFFIX}", masks / f"{scene}{_INSTANCE_SUFFIX}", categories
    )


def read_labels(labels: Path, instances: Path, categories: Sequence[Category]) -> Labels:
    """The semantic and panoptic ground truth of one image; region ids are the file's values.

    Raises:
        MissingDataError: one of the files is not there.
        UsageError: they differ in size, or hold a value that is no label.
    """
    values_HW, instance_values_HW = read_label_png(labels), read_label_png(instances)
    if instance_values_HW.shape != values_HW.shape:
        raise UsageError(
            f"{instances}: is {instance_values_HW.shape} (height, width), but {labels} is "
            f"{values_HW.shape}. Expected the same size. Download both again."
        )
    category_of_label = dict.fromkeys(range(_NUM_LABELS), VOID_CATEGORY)
    category_of_label |= {category.id: index for index, category in enumerate(categories)}
    semantic_HW = value_to_category(values_HW, category_of_label, where=labels)
    panoptic_HW, regions = _regions(instance_values_HW, category_of_label, categories, instances)
    return Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=regions,
        semantic=LabelRuns.of_map(semantic_HW),
    )


def _regions(
    values_HW: NDArray[np.int32],
    category_of_label: dict[int, int],
    categories: Sequence[Category],
    where: Path,
) -> tuple[NDArray[np.int32], tuple[Region, ...]]:
    regions = []
    void = [0]
    for value in np.flatnonzero(np.bincount(values_HW.ravel())).tolist():
        is_instance = value >= _FIRST_INSTANCE
        label = value // _FIRST_INSTANCE if is_instance else value
        if label not in category_of_label:
            raise UsageError(
                f"{where}: has pixels of the value {value}, which is of no label. Expected labels "
                f"0 to {_NUM_LABELS - 1}, or their instances from {_FIRST_INSTANCE}. "
                "Download the file again."
            )
        category = category_of_label[label]
        if category == VOID_CATEGORY:
            void.append(value)
        else:
            iscrowd = categories[category].isthing and not is_instance
            regions.append(Region(id=value, category=category, iscrowd=iscrowd))
    return np.where(np.isin(values_HW, void), 0, values_HW).astype(np.int32), tuple(regions)
