"""Miniatures of Cityscapes and Mapillary Vistas, as their owners lay them out."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.data.datasets.trees import SIZE, categories_of, save, tiled, write_panoptic, write_photo


def write_cityscapes(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """`cityscapes`; by image the values of its instance map."""
    root = data / "cityscapes"
    scenes = {}
    for number in range(num_images):
        rng = np.random.default_rng(number)
        # Void of three kinds, road, sky, two cars and a group of cars, a rider, a caravan.
        values = tiled(rng, [0, 1, 4, 7, 23, 26_000, 26_001, 26, 25_000, 29_000])
        city = ("lindau", "munster")[number % 2]
        scene = f"{city}/{city}_{number:06d}_000019"
        labels = np.where(values >= 1000, values // 1000, values)
        save(root / f"gtFine/val/{scene}_gtFine_instanceIds.png", values.astype(np.uint16))
        save(root / f"gtFine/val/{scene}_gtFine_labelIds.png", labels.astype(np.uint8))
        photo = np.full((*SIZE, 3), 90, np.uint8)
        save(root / f"leftImg8bit/val/{scene}_leftImg8bit.png", photo)
        scenes[f"{scene}_leftImg8bit.png"] = values
    return dict(sorted(scenes.items()))


def write_mapillary(data: Path, num_images: int, *, version: str = "v1.2") -> Path:
    """`mapillary_vistas` with the panoptic pair, whose category ids count from 1; the JSON."""
    root = data / "mapillary_vistas/validation"
    folder = root / version / "panoptic"
    scenes = write_panoptic(
        folder / "panoptic_2018.json", folder, num_images, categories_of("mapillary65")
    )
    path = folder / "panoptic_2018.json"
    document = json.loads(path.read_text())
    for entry in document["categories"]:
        entry["id"] += 1
    for annotation in document["annotations"]:
        for info in annotation["segments_info"]:
            info["category_id"] += 1
    path.write_text(json.dumps(document))
    for name in scenes:
        write_photo(root / "images" / name)
    return path


def write_mapillary_instances(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """`mapillary_vistas` with the instance maps alone; by image their values."""
    root = data / "mapillary_vistas/validation"
    scenes = {}
    for number in range(num_images):
        # Two birds and a ground animal, curb and ego vehicle (stuff), unlabeled.
        values = tiled(
            np.random.default_rng(number), [0, 1, 256, 2 * 256, 2 * 256 + 9, 64 * 256, 65 * 256]
        )
        save(root / f"v1.2/instances/street{number}.png", values.astype(np.uint16))
        write_photo(root / f"images/street{number}.jpg")
        scenes[f"street{number}.jpg"] = values
    return scenes
