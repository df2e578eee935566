"""Miniatures of the datasets with semantic ground truth alone, as their owners lay them out."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.io import savemat

from tests.data.datasets.trees import SIZE, save, tiled, write_photo


def write_ade20k_full(data: Path, num_images: int, *, index: bool = True) -> dict[str, Any]:
    """`ADE20K_2021_17_01`; by image the class of each pixel, from 1, 0 for none."""
    root = data / "ADE20K_2021_17_01"
    scenes, folders, files = {}, [], []
    for number in range(1, num_images + 1):
        rng = np.random.default_rng(number)
        # wall, person, door and a class that is none of the 847; R holds noise below ten.
        classes = tiled(rng, [0, 2978, 1831, 774, 3])
        noise = rng.integers(0, 6, SIZE)
        channels = np.stack([classes // 256 * 10 + noise, classes % 256, noise], axis=2)
        name = f"{('urban/street', 'home_or_hotel/attic')[number % 2]}/ADE_val_{number:08d}"
        path = root / "images/ADE/validation" / name
        save(path.with_name(f"{path.name}_seg.png"), channels.astype(np.uint8))
        write_photo(path.with_suffix(".jpg"))
        scenes[f"{name}.jpg"] = classes
        folders.append(f"ADE20K_2021_17_01/images/ADE/validation/{Path(name).parent}")
        files.append(f"{path.name}.jpg")
    if index:
        entries = {
            "folder": ["ADE20K_2021_17_01/images/ADE/training/x", *folders],
            "filename": ["ADE_train_00000001.jpg", *files],
            "objectnames": [f"class {k}" for k in range(3688)],
            "objectPresence": np.zeros((3, num_images + 1)),
        }
        (root / "index_ade20k.pkl").write_bytes(pickle.dumps(entries, protocol=2))
    return dict(sorted(scenes.items()))


def write_voc2010(data: Path, num_images: int) -> Path:
    """`VOCdevkit/VOC2010` with its images and list, which has no maps of its own."""
    root = data / "VOCdevkit/VOC2010"
    stems = [f"2008_{number:06d}" for number in range(num_images)]
    for stem in stems:
        write_photo(root / "JPEGImages" / f"{stem}.jpg")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/val.txt").write_text("".join(f"{stem}\n" for stem in stems))
    return root


def write_context459(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """The MATLAB files; by image the values 0..459."""
    root = write_voc2010(data, num_images)
    (root / "trainval").mkdir()
    scenes = {}
    for number, path in enumerate(sorted((root / "JPEGImages").iterdir())):
        values = tiled(np.random.default_rng(number), [0, 1, 255, 256, 459])
        savemat(root / "trainval" / f"{path.stem}.mat", {"LabelMap": values.astype(np.uint16)})
        scenes[path.name] = values
    return scenes


def write_context59(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """`trainval_merged.json`; by image the values 1..59, 0 void; one more image is for training."""
    root = write_voc2010(data, num_images)
    # aeroplane and bag, diningtable, wood; 1 is the accordion, which is none of the 59.
    ids_459 = {1: 2, 2: 9, 50: 397, 59: 458, 0: 1}
    scenes, images, entries = {}, [], []
    size = dict(zip(("height", "width"), SIZE, strict=True))
    for number, path in enumerate(sorted((root / "JPEGImages").iterdir())):
        values = tiled(np.random.default_rng(number), list(ids_459))
        image_id = 2_008_000_000 + number
        images.append({"image_id": image_id, "file_name": path.name, "phase": "val", **size})
        for value, id_459 in ids_459.items():
            rle = coco_mask.encode(np.asfortranarray(values == value, np.uint8))
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": id_459,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
        scenes[path.name] = values
    images.append({"image_id": 7, "file_name": "2009_000001.jpg", "phase": "train", **size})
    entries.append({"image_id": 7, "category_id": 2, "segmentation": entries[0]["segmentation"]})
    document = {"images": images, "annos_segmentation": entries, "categories": []}
    (root / "trainval_merged.json").write_text(json.dumps(document))
    return scenes


def write_context59_maps(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """`SegmentationClassContext`; by image the values 1..59, 0 void."""
    root = write_voc2010(data, num_images)
    scenes = {}
    for number, path in enumerate(sorted((root / "JPEGImages").iterdir())):
        values = tiled(np.random.default_rng(number), [0, 1, 30, 59])
        save(root / "SegmentationClassContext" / f"{path.stem}.png", values.astype(np.uint8))
        scenes[path.name] = values
    return scenes
