"""UVO's frames, validation: every object of an image, whatever it is.

    UVO/
    ├── UVO_frame_val.json              or in FrameSet/, as it is downloaded
    └── uvo_videos_sparse_frames/       as the owner's video2frames.py makes it of the videos

Source: https://sites.google.com/view/unidentified-video-object/dataset.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from odise_cli.data.datasets.coco import annotation_to_mask, entries_by_image
from odise_cli.data.datasets.dataset import Dataset, count_files, find_folder, read_json
from odise_cli.data.names import natural_key
from odise_cli.structures import Category, Count, Labels

ORIGIN: Final = "https://sites.google.com/view/unidentified-video-object/dataset"
NUM_IMAGES: Final = 7356
_JSON: Final = "UVO_frame_val.json"
_FRAMES: Final = "uvo_videos_sparse_frames"
_REQUIRED: Final = {
    "images": ("id", "file_name", "height", "width"),
    "annotations": ("id", "image_id", "segmentation", "area"),
}


def open_uvo(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds `UVO`, or is it.
        categories: of whatever vocabulary the predictions are; the ground truth has none.

    Raises:
        MissingDataError: the JSON file is not there.
        UsageError: it contradicts itself.
    """
    nested = any((folder / "FrameSet" / _JSON).is_file() for folder in (data / "UVO", data))
    marker = f"FrameSet/{_JSON}" if nested else _JSON
    root = find_folder(data, "UVO", marker=marker, origin=ORIGIN)
    path = root / marker
    document = read_json(path, required=_REQUIRED)
    entries = entries_by_image(document, where=path)
    images = {image["file_name"]: image for image in document["images"]}

    names = tuple(sorted(images, key=natural_key))
    return Dataset(
        categories=tuple(categories),
        image_names=names,
        read_entry=partial(_read, path),
        entries={name: (image, entries[image["id"]]) for name, image in images.items()},
        counts=(
            Count(what=f"images in {_JSON}", found=len(names), published=NUM_IMAGES, origin=ORIGIN),
            count_files(f"{_FRAMES}/**", [root / _FRAMES / name for name in names], origin=ORIGIN),
        ),
        num_published_images=NUM_IMAGES,
        outputs=("instances",),
        images=root / _FRAMES,
        has_recall=True,
        is_class_agnostic=True,
    )


def _read(where: Path, entry: tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]) -> Labels:
    image, annotations = entry
    size = image["height"], image["width"]
    masks = tuple(
        # The JSON's one category, or COCO's for some: an object either way.
        annotation_to_mask({"iscrowd": 0, **one, "category_id": 0}, {0: 0}, size, where=where)
        for one in annotations
    )
    return Labels(instances=masks, image_size=size)
