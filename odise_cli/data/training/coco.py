"""Training samples from files in COCO's panoptic format, with or without captions.

    coco/
    ├── train2017/*.jpg
    └── annotations/
        ├── panoptic_train2017.json
        ├── panoptic_train2017/*.png     or coco/panoptic_train2017/*.png
        └── captions_train2017.json      for caption supervision

Holds the names and the regions' ids and categories of all images as flat arrays, some ten bytes a
region; images and id maps are read when a sample is asked for. Whatever can be found without
reading them is found when the dataset is opened: before hours of training.

Source: https://cocodataset.org/#format-data.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.datasets.coco import ORIGIN, masks_folder
from odise_cli.data.datasets.coco_panoptic import (
    REQUIRED,
    check_categories,
    check_same_ids,
    entries_by_name,
    segments_info_to_regions,
)
from odise_cli.data.datasets.dataset import find_folder, read_json, require
from odise_cli.data.decode import read_image
from odise_cli.data.label_images import read_id_runs
from odise_cli.data.names import natural_key
from odise_cli.data.training.captions import Captions, read_captions
from odise_cli.data.training.samples import TrainingSample
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import Category, Region

_PANOPTIC: Final = "panoptic_train2017"
_NO_CAPTIONS: Final = Captions(of_image={}, warnings=())


@dataclass(frozen=True, kw_only=True)
class _Regions:
    """The regions of all images, one after the other."""

    bounds: NDArray[np.int64]
    """[images + 1]; the regions of image i are `bounds[i]:bounds[i + 1]`."""
    ids: NDArray[np.int32]
    categories: NDArray[np.int32]
    """Indices into the dataset's categories."""
    iscrowd: NDArray[np.bool_]

    def of_image(self, index: int) -> tuple[Region, ...]:
        rows = range(self.bounds[index], self.bounds[index + 1])
        return tuple(
            Region(
                id=int(self.ids[row]),
                category=int(self.categories[row]),
                iscrowd=bool(self.iscrowd[row]),
            )
            for row in rows
        )


@dataclass(frozen=True, kw_only=True)
class CocoPanopticSamples:
    """A `TrainingDataset` of images, id maps and captions in files."""

    categories: tuple[Category, ...]
    names: tuple[str, ...]
    """File names of the images, in natural order."""
    warnings: tuple[str, ...]
    """What was passed over, counted; a line each."""
    annotations: Path
    images: Path
    masks: Path
    id_maps: tuple[str | None, ...]
    """File name of each image's id map; None where the image has no annotation."""
    regions: _Regions
    captions: tuple[tuple[str, ...], ...]
    """Of each image; empty where there is none, or none are needed."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    def __getitem__(self, index: int) -> TrainingSample:
        """Read one image and its masks.

        Raises:
            ImageError: the image is missing or broken.
            MissingDataError: its id map is not there.
            UsageError: ids of id map and JSON differ, or image and id map differ in size.
        """
        name, id_map = self.names[index], self.id_maps[index]
        image = read_image(self.images / name)
        regions: tuple[Region, ...] = ()
        panoptic_HW = np.zeros(image.shape[:2], np.int32)
        if id_map is not None:
            png = self.masks / id_map
            panoptic = read_id_runs(png)
            regions = self.regions.of_image(index)
            check_same_ids(panoptic, regions, png=png, where=self.annotations)
            panoptic_HW = panoptic.to_map()
            _check_same_size(panoptic_HW, image, png=png, image_path=self.images / name)
        kept = [region for region in regions if not region.iscrowd]
        ids = np.array([region.id for region in kept], np.int32)
        return TrainingSample(
            name=name,
            image=image,
            masks=panoptic_HW == ids[:, None, None],
            category_index=np.array([region.category for region in kept], np.int64),
            captions=self.captions[index],
        )


def open_coco_train(
    data: Path, categories: Sequence[Category], *, with_captions: bool
) -> CocoPanopticSamples:
    """COCO's training set of 2017 below `data`.

    Args:
        data: holds `coco`, or is it.
        categories: the 133 categories with COCO's ids, `coco133`.
        with_captions: whether the captions are needed.

    Raises:
        MissingDataError: a part of it is not there.
        UsageError: the files contradict each other.
    """
    root = find_folder(data, "coco", marker=f"annotations/{_PANOPTIC}.json", origin=ORIGIN)
    captions = root / "annotations" / "captions_train2017.json"
    return open_coco_panoptic_samples(
        root / "annotations" / f"{_PANOPTIC}.json",
        masks_folder(root, _PANOPTIC),
        require(root / "train2017", origin=ORIGIN),
        categories,
        captions=require(captions, origin=ORIGIN) if with_captions else None,
    )


def open_coco_panoptic_samples(
    annotations: Path,
    masks: Path,
    images: Path,
    categories: Sequence[Category],
    *,
    captions: Path | None,
) -> CocoPanopticSamples:
    """Any training set in COCO's panoptic format.

    Images without an annotation stay, without masks: they say what is no object.

    Args:
        annotations: the JSON file.
        masks: the folder of its PNGs.
        images: the folder of its images.
        categories: what its category ids are called.
        captions: a captions JSON with the same image ids; None where none are needed.

    Raises:
        MissingDataError: a file is not there.
        UsageError: the files contradict themselves, each other or the categories.
    """
    document = read_json(annotations, required=REQUIRED)
    check_categories(document["categories"], categories, where=annotations)
    entries = entries_by_name(document, where=annotations)
    id_of_name = {image["file_name"]: image["id"] for image in document["images"]}
    _check_names(document["images"], where=annotations)
    names = sorted(id_of_name, key=natural_key)
    id_maps = [entries[name]["file_name"] if name in entries else None for name in names]
    _require_files(images, names, where=annotations)
    _require_files(masks, [name for name in id_maps if name is not None], where=annotations)
    found = _NO_CAPTIONS
    if captions is not None:
        found = read_captions(captions, {image_id: name for name, image_id in id_of_name.items()})
    num_bare = id_maps.count(None)
    bare = f"{annotations}: {num_bare:,} images have no annotation and are taken to show no object."
    return CocoPanopticSamples(
        categories=tuple(categories),
        names=tuple(names),
        warnings=(*([bare] if num_bare else []), *found.warnings),
        annotations=annotations,
        images=images,
        masks=masks,
        id_maps=tuple(id_maps),
        regions=_flat_regions([entries.get(n) for n in names], categories, annotations),
        captions=tuple(found.of_image.get(id_of_name[name], ()) for name in names),
    )


def _flat_regions(
    entries: Sequence[Mapping[str, Any] | None], categories: Sequence[Category], where: Path
) -> _Regions:
    """Check the regions of all images and pack them."""
    index_of_id = {category.id: index for index, category in enumerate(categories)}
    counts: list[int] = []
    rows: list[tuple[int, int, bool]] = []
    for entry in entries:
        regions: tuple[Region, ...] = ()
        if entry is not None:
            regions = segments_info_to_regions(
                entry["segments_info"], index_of_id, png=Path(entry["file_name"]), where=where
            )
        counts.append(len(regions))
        rows += [(region.id, region.category, region.iscrowd) for region in regions]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return _Regions(
        bounds=np.append(0, np.cumsum(counts, dtype=np.int64)),
        ids=table[:, 0].astype(np.int32),
        categories=table[:, 1].astype(np.int32),
        iscrowd=table[:, 2].astype(bool),
    )


def _check_names(images: Sequence[Mapping[str, Any]], *, where: Path) -> None:
    if not images:
        raise UsageError(
            f"{where}: has 0 images. Expected at least one to train on. Give another file."
        )
    ((name, count),) = Counter(image["file_name"] for image in images).most_common(1)
    if count > 1:
        raise UsageError(
            f"{where}: has {count} images of the file name {name!r}. Expected different names. "
            "Correct the file, or download it again."
        )


def _require_files(folder: Path, names: Sequence[str], *, where: Path) -> None:
    """Refuse a folder that lacks a file; one listing instead of a question for each name.

    Raises:
        MissingDataError: naming the first that is missing and how many there are.
    """
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    missing = [name for name in names if name not in present and not (folder / name).is_file()]
    if missing:
        raise MissingDataError(
            f"{folder / missing[0]}: is not there, nor {len(missing) - 1:,} more of the "
            f"{len(names):,} files that {where.name} lists. Expected all of them. Complete the "
            "folder, or check its path."
        )


def _check_same_size(
    panoptic_HW: NDArray[np.int32], image: NDArray[np.uint8], *, png: Path, image_path: Path
) -> None:
    if panoptic_HW.shape != image.shape[:2]:
        raise UsageError(
            f"{png}: is {panoptic_HW.shape} (height, width), its image {image_path} is "
            f"{image.shape[:2]}. Expected the same size. Make or download both again."
        )
