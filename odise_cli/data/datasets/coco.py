"""COCO's validation set of 2017: panoptic, semantic and instance ground truth.

    coco/
    ├── val2017/*.jpg
    └── annotations/
        ├── panoptic_val2017.json
        ├── panoptic_val2017/*.png       or coco/panoptic_val2017/*.png
        └── instances_val2017.json

Instances come from the detection annotations, whose masks may overlap; semantic labels from the
panoptic ones.

Source: https://cocodataset.org/#format-data.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from pycocotools import mask as coco_mask

from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.data.datasets.dataset import Dataset, count_files, find_folder, read_json, require
from odise_cli.data.rle import check_rle
from odise_cli.errors import UsageError
from odise_cli.structures import Category, Count, InstanceMask, Labels

ORIGIN: Final = "https://cocodataset.org/#download"
NUM_IMAGES: Final = 5000
_PANOPTIC, _INSTANCES = "panoptic_val2017", "instances_val2017.json"
_REQUIRED: Final = {
    "images": ("id", "file_name"),
    "annotations": ("id", "image_id", "category_id", "segmentation", "area", "iscrowd"),
}


def open_coco(data: Path, categories: Sequence[Category]) -> Dataset:
    """The validation set below `data`.

    Args:
        data: holds `coco`, or is it.
        categories: the 133 categories with COCO's ids, `coco133`.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: the files contradict each other.
    """
    root = find_folder(data, "coco", marker=f"annotations/{_PANOPTIC}.json", origin=ORIGIN)
    images = root / "val2017"
    panoptic = open_coco_panoptic(
        root / "annotations" / f"{_PANOPTIC}.json",
        masks_folder(root, _PANOPTIC),
        categories,
        images=images,
        num_published_images=NUM_IMAGES,
    )
    path = require(root / "annotations" / _INSTANCES, origin=ORIGIN)
    entries = _entries_by_name(path, panoptic.image_names)
    index_of_id = {category.id: index for index, category in enumerate(categories)}

    return replace(
        panoptic,
        read_entry=partial(_read, panoptic.read_entry, index_of_id, path),
        entries={name: (panoptic.entry(name), entries[name]) for name in panoptic.image_names},
        counts=_counts(images, panoptic, num_with_instances=len(entries)),
    )


def _read(
    read_panoptic: Callable[[Any], Labels],
    index_of_id: Mapping[int, int],
    where: Path,
    entry: tuple[Any, Sequence[Mapping[str, Any]]],
) -> Labels:
    panoptic, annotations = entry
    labels = read_panoptic(panoptic)
    assert labels.size is not None
    masks = tuple(
        annotation_to_mask(annotation, index_of_id, labels.size, where=where)
        for annotation in annotations
    )
    return replace(labels, instances=masks)


def entries_by_image(
    document: Mapping[str, Any], *, where: Path
) -> dict[Any, list[Mapping[str, Any]]]:
    """The annotations of each image of a detection file, by the image's id.

    Args:
        document: the file's `images` and `annotations`.
        where: the file, for messages.

    Raises:
        UsageError: an annotation belongs to no image, or an image or annotation is there twice.
    """
    by_id: dict[Any, list[Mapping[str, Any]]] = {}
    names = set()
    for image in document["images"]:
        name = image.get("file_name", image["id"])
        if image["id"] in by_id or name in names:
            raise UsageError(
                f"{where}: has the image {name!r} (id {image['id']}) twice. Expected every image "
                "once. Download the file again."
            )
        by_id[image["id"]] = []
        names.add(name)
    met = set()
    for entry in document["annotations"]:
        if entry["image_id"] not in by_id:
            raise UsageError(
                f"{where}: the annotation {entry['id']} is of the image_id {entry['image_id']}, "
                "which is not among its images. Expected an entry in both. Download it again."
            )
        if entry["id"] in met:
            raise UsageError(
                f"{where}: has the annotation {entry['id']} twice. Expected every annotation once. "
                "Download the file again."
            )
        met.add(entry["id"])
        by_id[entry["image_id"]].append(entry)
    return by_id


def _counts(images: Path, panoptic: Dataset, *, num_with_instances: int) -> tuple[Count, ...]:
    photos = [images / name for name in panoptic.image_names]
    counts = (
        count_files("val2017/*.jpg", photos, published=NUM_IMAGES, origin=ORIGIN),
        *panoptic.counts,
        Count(what=f"images in {_INSTANCES}", found=num_with_instances, published=NUM_IMAGES),
    )
    return tuple(replace(count, origin=ORIGIN) for count in counts)


def annotation_to_mask(
    entry: Mapping[str, Any],
    index_of_id: Mapping[int, int],
    size: tuple[int, int],
    *,
    where: Path,
) -> InstanceMask:
    """One detection annotation; its segmentation is polygons, plain or compressed RLE.

    Raises:
        UsageError: the category is unknown, or the mask is not one of the image's size.
    """
    if entry["category_id"] not in index_of_id:
        raise UsageError(
            f"{where}: the annotation {entry['id']} has the category_id {entry['category_id']}, "
            "which is no category. Expected ids of the vocabulary. Download the file again."
        )
    segmentation = entry["segmentation"]
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    else:
        check_rle(
            segmentation,
            size,
            what=f"{where}: the mask of annotation {entry['id']}",
            advice="Download the file again.",
        )
        rle = dict(segmentation)
        if isinstance(segmentation["counts"], list):
            rle = coco_mask.frPyObjects(segmentation, *size)
    return InstanceMask(
        category=index_of_id[entry["category_id"]],
        rle=rle,
        area_px=entry["area"],
        iscrowd=bool(entry["iscrowd"]),
    )


def masks_folder(root: Path, name: str) -> Path:
    """Where the panoptic maps were unpacked: beside their JSON, or a folder further up.

    Args:
        root: the folder `coco`.
        name: what the maps' folder is called, e.g. `panoptic_val2017`.

    Raises:
        MissingDataError: neither is there.
    """
    folder = root / "annotations" / name
    if folder.is_dir():
        return folder
    return require(root / name, origin=f"{ORIGIN} (a zip in the panoptic zip)")


def _entries_by_name(path: Path, names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """The detection annotations of each image, by the image's file name.

    Args:
        path: the JSON file.
        names: the images that it has to know.

    Raises:
        UsageError: an annotation belongs to no image, or an image is not known.
    """
    document = read_json(path, required=_REQUIRED)
    by_id = entries_by_image(document, where=path)
    by_name = {image["file_name"]: by_id[image["id"]] for image in document["images"]}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise UsageError(
            f"{path}: does not know the image {unknown[0]!r}, nor {len(unknown) - 1} more of "
            f"{_PANOPTIC}.json. Expected the same images in both. Download both again."
        )
    return by_name
