"""PASCAL-Context with all of its 459 categories, as its owners publish it.

    VOCdevkit/VOC2010/
    ├── ImageSets/Main/val.txt
    ├── JPEGImages/*.jpg
    └── trainval/*.mat     LabelMap: uint16, 0 void, 1..459

Source: https://cs.stanford.edu/~roozbeh/pascal-context. The list and the images come with
PASCAL VOC 2010, whose validation images are those of the benchmark.
"""

import io
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.datasets.dataset import (
    Dataset,
    count_files,
    find_folder,
    read_stems,
    runs_to_categories,
)
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, LabelRuns, Labels

ORIGIN: Final = "https://cs.stanford.edu/~roozbeh/pascal-context"
VOC2010_ORIGIN: Final = "http://host.robots.ox.ac.uk/pascal/VOC/voc2010"
NUM_IMAGES: Final = 5105
LIST: Final = "ImageSets/Main/val.txt"
_VARIABLE = "LabelMap"


def open_context459(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds `VOCdevkit`, or is it.
        categories: the 459 categories whose ids are the maps' values, `context459`.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: an image is listed twice.
    """
    devkit = find_folder(data, "VOCdevkit", marker="VOC2010/trainval", origin=ORIGIN)
    root = devkit / "VOC2010"
    find_folder(data, "VOCdevkit", marker=f"VOC2010/{LIST}", origin=VOC2010_ORIGIN)
    stems = read_stems(root / LIST)
    masks, images = root / "trainval", root / "JPEGImages"
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    category_of_value[0] = VOID_CATEGORY

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(f"{stem}.jpg" for stem in stems),
        read_entry=partial(_read, masks, category_of_value),
        counts=(
            Count(
                what=f"images in {LIST}",
                found=len(stems),
                published=NUM_IMAGES,
                origin=VOC2010_ORIGIN,
            ),
            count_files("trainval/*.mat", [masks / f"{stem}.mat" for stem in stems], origin=ORIGIN),
            count_files(
                "JPEGImages/*.jpg",
                [images / f"{stem}.jpg" for stem in stems],
                origin=VOC2010_ORIGIN,
            ),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("semantic",),
        images=images,
    )


def _read(masks: Path, category_of_value: Mapping[int, int], name: str) -> Labels:
    path = masks / f"{Path(name).stem}.mat"
    runs = LabelRuns.of_map(_read_mat(path))
    return Labels(semantic=runs_to_categories(runs, category_of_value, where=path))


def _read_mat(path: Path) -> NDArray[np.int32]:
    """The [H, W] label map of a MATLAB file."""
    # A third of a second that no other dataset has to wait for.
    from scipy.io import loadmat

    try:
        contents = loadmat(io.BytesIO(path.read_bytes()), variable_names=[_VARIABLE])
    except FileNotFoundError as error:
        raise MissingDataError(
            f"{path}: is not there. Expected a label map. Get it from {ORIGIN}."
        ) from error
    # A damaged file makes scipy stumble over anything.
    except Exception as error:
        raise UsageError(
            f"{path}: cannot be read: {error}. Expected a MATLAB file with {_VARIABLE}. "
            "Download it again."
        ) from error
    values = contents.get(_VARIABLE)
    if values is None or values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
        raise UsageError(
            f"{path}: has no {_VARIABLE} of integers. Expected one number a pixel. "
            "Give the files of the 459 categories."
        )
    values_HW: NDArray[np.int32] = values.astype(np.int32)
    return values_HW
