"""Any ground truth in COCO's panoptic format: a JSON file and a folder of PNGs.

Source: https://cocodataset.org/#format-data, "Panoptic Segmentation". Areas and boxes of the
JSON are not used: pixels are counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.datasets.dataset import Dataset, read_json
from odise_cli.data.label_images import read_id_runs
from odise_cli.data.names import natural_key
from odise_cli.errors import UsageError
from odise_cli.structures import (
    VOID_CATEGORY,
    Category,
    Count,
    LabelRuns,
    Labels,
    Region,
    places_of_ids,
)

REQUIRED: Final = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "file_name", "segments_info"),
    "categories": ("id",),
}
"""What the JSON file has to hold, for `read_json`."""


def open_coco_panoptic(
    annotations: Path,
    masks: Path,
    categories: Sequence[Category],
    *,
    images: Path | None = None,
    num_published_images: int | None = None,
) -> Dataset:
    """The images of an annotation file.

    Args:
        annotations: the JSON file.
        masks: the folder of its PNGs.
        categories: what its category ids are called.
        images: the folder of the images, if known.
        num_published_images: how many the owner publishes, if known.

    Raises:
        MissingDataError: a file is not there.
        UsageError: the JSON contradicts itself or the categories.
    """
    document = read_json(annotations, required=REQUIRED)
    check_categories(document["categories"], categories, where=annotations)
    entries = entries_by_name(document, where=annotations)
    _refuse_images_without_entry(document, entries, where=annotations)
    files = {
        name: (masks / entry["file_name"], entry["segments_info"])
        for name, entry in entries.items()
    }
    index_of = {category.id: index for index, category in enumerate(categories)}

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(sorted(entries, key=natural_key)),
        read_entry=partial(_read, index_of, annotations),
        counts=(
            Count(
                what=f"images in {annotations.name}",
                found=len(files),
                published=num_published_images,
            ),
            _count_masks(masks, [path for path, _ in files.values()]),
            Count(what="categories", found=len(document["categories"]), published=len(categories)),
        ),
        num_published_images=num_published_images,
        outputs=("panoptic", "instances", "semantic"),
        images=images,
        image_ids={name: entry["image_id"] for name, entry in entries.items()},
        entries=files,
    )


def _read(
    index_of_id: Mapping[int, int], where: Path, entry: tuple[Path, Sequence[Mapping[str, Any]]]
) -> Labels:
    return read_labels(*entry, index_of_id, where=where)


def read_labels(
    png: Path,
    segments_info: Sequence[Mapping[str, Any]],
    index_of_id: Mapping[int, int],
    *,
    where: Path,
) -> Labels:
    """The labels of one image; the semantic map is that of the regions' categories.

    Args:
        png: the id map.
        segments_info: what the JSON says of its regions.
        index_of_id: the category index of each category id.
        where: the JSON file, for messages.

    Raises:
        MissingDataError: there is no such PNG.
        UsageError: ids of PNG and JSON differ, occur twice, or have an unknown category.
    """
    panoptic = read_id_runs(png)
    regions = segments_info_to_regions(segments_info, index_of_id, png=png, where=where)
    places = check_same_ids(panoptic, regions, png=png, where=where)
    categories = np.array([VOID_CATEGORY, *(region.category for region in regions)], np.uint16)
    return Labels(
        panoptic=panoptic,
        regions=regions,
        semantic=replace(panoptic, values=categories[places]),
    )


def segments_info_to_regions(
    segments_info: Sequence[Mapping[str, Any]],
    index_of_id: Mapping[int, int],
    *,
    png: Path,
    where: Path,
) -> tuple[Region, ...]:
    """What a JSON says of the regions of an id map, in its order.

    Raises:
        UsageError: an id occurs twice, is 0 (void), or has no or an unknown category.
    """
    regions: dict[int, Region] = {}
    for info in segments_info:
        if not {"id", "category_id"} <= info.keys():
            raise UsageError(
                f"{where}: a segment of {png.name} has no id or no category_id: {dict(info)}. "
                "Expected COCO's format. Correct the file, or download it again."
            )
        region_id, category_id = info["id"], info["category_id"]
        if region_id in regions or region_id == 0:
            found = "is void" if region_id == 0 else "is listed twice"
            raise UsageError(
                f"{where}: the segment id {region_id} of {png.name} {found}. Expected different "
                "ids from 1. Correct the file, or make it again."
            )
        if category_id not in index_of_id:
            raise UsageError(
                f"{where}: the segment {region_id} of {png.name} has the category_id "
                f"{category_id}, which is no category. Expected ids of the vocabulary. "
                "Give the vocabulary that the file was made with."
            )
        regions[region_id] = Region(
            id=region_id,
            category=index_of_id[category_id],
            iscrowd=bool(info.get("iscrowd", 0)),
        )
    return tuple(regions.values())


def check_same_ids(
    panoptic: LabelRuns, regions: Sequence[Region], *, png: Path, where: Path
) -> NDArray[np.int64]:
    """Refuse an id map and a list of regions that do not belong together.

    Returns:
        [R] the place of each run's region in the list, from 1; 0 is void.

    Raises:
        UsageError: the map has an id that is no region, or the reverse.
    """
    places = places_of_ids(panoptic.values, regions)
    ids = np.array([0, *(region.id for region in regions)])
    has_pixels = np.bincount(places, minlength=len(ids)) > 0
    if (ids[places] == panoptic.values).all() and has_pixels[1:].all():
        return places
    found = set(np.unique(panoptic.values).tolist()) - {0}
    listed = {region.id for region in regions}
    if found - listed:
        raise UsageError(
            f"{png}: has pixels of the segment id {min(found - listed)}, which {where} does not "
            "list. Expected the same ids in both. Make or download both files again."
        )
    raise UsageError(
        f"{where}: lists the segment id {min(listed - found)} of {png}, which has no such "
        "pixel. Expected the same ids in both. Make or download both files again."
    )


def _count_masks(masks: Path, files: Sequence[Path]) -> Count:
    present = {path.name for path in masks.glob("*.png")}
    missing = tuple(path.name for path in files if path.name not in present)
    return Count(
        what=f"label maps in {masks.name}/",
        found=len(files) - len(missing),
        published=len(files),
        missing=missing,
    )


def entries_by_name(document: Mapping[str, Any], *, where: Path) -> dict[str, Mapping[str, Any]]:
    """The annotation of each image that has one, by the image's file name.

    Raises:
        UsageError: an image has two annotations, or an annotation no image.
    """
    names = {image["id"]: image["file_name"] for image in document["images"]}
    if len(names) < len(document["images"]):
        (twice, _), *_ = Counter(image["id"] for image in document["images"]).most_common(1)
        raise UsageError(
            f"{where}: has two images of the id {twice}. Expected different ids. Correct the file, "
            "or download it again."
        )
    entries: dict[str, Mapping[str, Any]] = {}
    for entry in document["annotations"]:
        image_id = entry["image_id"]
        if image_id not in names:
            raise UsageError(
                f"{where}: has annotations of the image_id {image_id}, which is not among "
                "its images. Expected an entry in both. Download the file again."
            )
        if names[image_id] in entries:
            raise UsageError(
                f"{where}: has {names[image_id]!r} (image_id {image_id}) twice. Expected "
                "every image once. Remove one of the annotations."
            )
        entries[names[image_id]] = entry
    return entries


def _refuse_images_without_entry(
    document: Mapping[str, Any], entries: Mapping[str, Any], *, where: Path
) -> None:
    names = [image["file_name"] for image in document["images"]]
    unannotated = [name for name in names if name not in entries]
    if unannotated:
        raise UsageError(
            f"{where}: has no annotation of {unannotated[0]!r}, nor of "
            f"{len(unannotated) - 1} more of its images. Expected one for each. "
            "Remove them from its images."
        )


def check_categories(
    entries: Sequence[Mapping[str, Any]], categories: Sequence[Category], *, where: Path
) -> None:
    """Refuse a vocabulary with other ids or thing flags than the annotation file.

    Raises:
        UsageError: the first id that differs.
    """
    wanted = {category.id: category.isthing for category in categories}
    found = {entry["id"]: bool(entry.get("isthing", 1)) for entry in entries}
    for category_id in sorted(wanted.keys() | found.keys()):
        if wanted.get(category_id) != found.get(category_id):
            kinds = {True: "a thing", False: "stuff", None: "absent"}
            raise UsageError(
                f"{where}: the category id {category_id} is {kinds[found.get(category_id)]}, in "
                f"the vocabulary it is {kinds[wanted.get(category_id)]}. Expected the same ids "
                "and thing flags. Give the vocabulary of this file."
            )
