"""ADE20K with 150 categories, as the 2016 scene parsing challenge publishes it.

    ADEChallengeData2016/
    ├── images/validation/*.jpg
    ├── annotations/validation/*.png            semantic: 0 void, 1..150
    ├── annotations_instance/validation/*.png   R: category 1..100, G: instance, 0 none
    └── objectInfo150.txt

Source: http://sceneparsing.csail.mit.edu and its instance segmentation track; the panoptic
ground truth pastes the instances over the stuff of the semantic map, as the field does.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    require,
    value_to_category,
)
from odise_cli.data.label_images import read_label_png, read_rgb_png
from odise_cli.data.names import natural_key
from odise_cli.errors import UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, LabelRuns, Labels, Region

ORIGIN: Final = "http://sceneparsing.csail.mit.edu"
INSTANCES_ORIGIN: Final = f"{ORIGIN} (a second tar)"
NUM_IMAGES: Final = 2000
_SPLIT = "validation"

SEMANTIC_VALUE_OF_INSTANCE_CATEGORY: Final = (
    8, 9, 11, 13, 15, 16, 19, 20, 21, 23, 24, 25, 28, 31, 32, 33, 34, 36, 37, 38,
    39, 40, 42, 43, 44, 45, 46, 48, 50, 51, 54, 56, 57, 58, 59, 63, 65, 66, 67, 68,
    70, 71, 72, 73, 74, 75, 76, 77, 79, 81, 82, 83, 84, 86, 87, 88, 89, 90, 91, 93,
    94, 96, 98, 99, 103, 104, 105, 108, 109, 111, 112, 113, 116, 117, 119, 120, 121, 122, 124, 125,
    126, 127, 128, 130, 131, 133, 134, 135, 136, 137, 138, 139, 140, 143, 144, 145, 147, 148, 149,
    150,
)  # fmt: skip
"""What the semantic map calls instance category 1, 2, … 100: the 100 things."""


def open_ade20k(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds `ADEChallengeData2016`, or is it.
        categories: the 150 categories in the order of the semantic values, `ade150`.

    Raises:
        MissingDataError: a part of it is not there.
    """
    root = find_folder(data, "ADEChallengeData2016", marker=f"annotations/{_SPLIT}", origin=ORIGIN)
    semantic = root / "annotations" / _SPLIT
    instances = require(root / "annotations_instance" / _SPLIT, origin=INSTANCES_ORIGIN)
    images = root / "images" / _SPLIT
    stems = sorted((path.stem for path in semantic.glob("*.png")), key=natural_key)

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(f"{stem}.jpg" for stem in stems),
        read_entry=partial(_read, semantic, instances, categories),
        counts=_counts(root, stems),
        num_published_images=NUM_IMAGES,
        outputs=("panoptic", "instances", "semantic"),
        images=images,
        has_recall=True,
    )


def _read(semantic: Path, instances: Path, categories: Sequence[Category], name: str) -> Labels:
    file_name = f"{Path(name).stem}.png"
    return read_labels(semantic / file_name, instances / file_name, categories)


def _counts(root: Path, stems: Sequence[str]) -> tuple[Count, ...]:
    maps = root / "annotations" / _SPLIT
    instances = root / "annotations_instance" / _SPLIT
    info = root / "objectInfo150.txt"
    # The first line of the table names its columns.
    num_classes = len(info.read_text(encoding="utf-8").splitlines()) - 1 if info.is_file() else 0
    return (
        *(
            count_files(
                f"{folder.relative_to(root).as_posix()}/*{suffix}",
                [folder / f"{stem}{suffix}" for stem in stems],
                published=NUM_IMAGES,
                origin=origin,
            )
            for folder, suffix, origin in (
                (root / "images" / _SPLIT, ".jpg", ORIGIN),
                (maps, ".png", ORIGIN),
                (instances, ".png", INSTANCES_ORIGIN),
            )
        ),
        Count(what="classes in objectInfo150.txt", found=num_classes, published=150, origin=ORIGIN),
    )


def read_labels(semantic: Path, instances: Path, categories: Sequence[Category]) -> Labels:
    """The semantic and panoptic ground truth of one image.

    A stuff region's id is its semantic value; an instance's is 256 · (R + 1) + G.

    Raises:
        MissingDataError: one of the files is not there.
        UsageError: they differ in size, or hold a value that is no category.
    """
    values_HW = read_label_png(semantic)
    channels_HW3 = read_rgb_png(instances).astype(np.int32)
    if channels_HW3.shape[:2] != values_HW.shape:
        raise UsageError(
            f"{instances}: is {channels_HW3.shape[:2]} (height, width), but {semantic} is "
            f"{values_HW.shape}. Expected the same size. Download both again."
        )
    category_of_value = {0: VOID_CATEGORY, **{k + 1: k for k in range(len(categories))}}
    semantic_HW = value_to_category(values_HW, category_of_value, where=semantic)
    is_stuff = np.array([False, *(not category.isthing for category in categories)])
    panoptic_HW = np.where(is_stuff[values_HW], values_HW, 0)

    is_instance_HW = channels_HW3[..., 1] > 0
    kinds = channels_HW3[..., 0]
    if is_instance_HW.any():
        wrong = is_instance_HW & ((kinds < 1) | (kinds > len(SEMANTIC_VALUE_OF_INSTANCE_CATEGORY)))
        if wrong.any():
            raise UsageError(
                f"{instances}: has an instance of the category {int(kinds[wrong][0])}. Expected "
                "1 to 100. Download the file again."
            )
    ids_HW = 256 * (kinds + 1) + channels_HW3[..., 1]
    panoptic_HW = np.where(is_instance_HW, ids_HW, panoptic_HW).astype(np.int32)
    ids = np.flatnonzero(np.bincount(panoptic_HW.ravel()))
    regions = tuple(
        Region(id=region_id, category=_category_of_id(region_id))
        for region_id in ids.tolist()
        if region_id
    )
    return Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=regions,
        semantic=LabelRuns.of_map(semantic_HW),
    )


def _category_of_id(region_id: int) -> int:
    """The category index of a region id of `read_labels`."""
    if region_id < 256:
        return region_id - 1
    return SEMANTIC_VALUE_OF_INSTANCE_CATEGORY[region_id // 256 - 2] - 1
