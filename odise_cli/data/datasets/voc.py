"""PASCAL VOC 2012, segmentation, with its background as a category.

    VOCdevkit/VOC2012/
    ├── ImageSets/Segmentation/val.txt
    ├── JPEGImages/*.jpg
    └── SegmentationClass/*.png     palette: 0 background, 1..20, 255 void

Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from odise_cli.data.datasets.dataset import (
    Dataset,
    find_folder,
    value_to_category,
)
from odise_cli.data.label_images import read_label_png
from odise_cli.data.names import natural_key
from odise_cli.errors import UsageError
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
    stems = sorted((root / _LIST).read_text(encoding="utf-8").split(), key=natural_key)
    if len(set(stems)) < len(stems):
        (twice, _), *_ = Counter(stems).most_common(1)
        raise UsageError(
            f"{root / _LIST}: has {twice!r} twice. Expected every image once. Remove a line, or "
            "download the file again."
        )
    masks, images = root / "SegmentationClass", root / "JPEGImages"
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    category_of_value[_VOID_VALUE] = VOID_CATEGORY

    def read(name: str) -> Labels:
        path = masks / f"{Path(name).stem}.png"
        return Labels(
            semantic_HW=value_to_category(read_label_png(path), category_of_value, where=path)
        )

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(f"{stem}.jpg" for stem in stems),
        read=read,
        counts=(
            Count(what=f"images in {_LIST}", found=len(stems), published=NUM_IMAGES),
            _listed("SegmentationClass/*.png", [masks / f"{stem}.png" for stem in stems]),
            _listed("JPEGImages/*.jpg", [images / f"{stem}.jpg" for stem in stems]),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("semantic",),
        images=images,
        image_list=root / _LIST,
    )


def _listed(what: str, paths: Sequence[Path]) -> Count:
    missing = tuple(path.name for path in paths if not path.is_file())
    return Count(
        what=what,
        found=len(paths) - len(missing),
        published=len(paths),
        missing=missing,
    )
