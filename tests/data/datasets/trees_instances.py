"""Miniatures of the datasets with instances alone, as their owners lay them out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from tests.data.datasets.trees import SIZE, categories_of, write_photo

_SIZE_FIELDS = dict(zip(("height", "width"), SIZE, strict=True))


def _boxes(number: int) -> list[tuple[int, int, int, int]]:
    """Three boxes (left, top, right, bottom), two of which overlap."""
    return [(2 + number, 4, 30, 20), (10, 10, 25, 28), (33, 2, 43, 9)]


def box_mask(box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    pixels = np.zeros(SIZE, np.uint8, order="F")
    pixels[top:bottom, left:right] = 1
    return pixels


def _segmentation(box: tuple[int, int, int, int], kind: int) -> Any:
    """The box as a polygon, or as compressed RLE."""
    left, top, right, bottom = box
    if kind % 2:
        return [[left, top, right, top, right, bottom, left, bottom]]
    rle = coco_mask.encode(box_mask(box))
    return {"size": list(SIZE), "counts": rle["counts"].decode()}


def write_lvis(data: Path, num_images: int) -> dict[str, list[tuple[int, NDArray[np.uint8]]]]:
    """`lvis_v1_val.json`; by image the category id and mask of each instance."""
    ids = (4, 1203, 8)
    scenes, images, annotations = {}, [], []
    for number in range(1, num_images + 1):
        split = ("train2017", "val2017")[number % 2]
        name = f"{split}/{number:012d}.jpg"
        write_photo(data / "coco" / name)
        images.append(
            {
                "id": number,
                "coco_url": f"http://images.cocodataset.org/{name}",
                "neg_category_ids": [11, 500 + number],
                "not_exhaustive_category_ids": [8] if number % 2 else [],
                **_SIZE_FIELDS,
            }
        )
        boxes = _boxes(number)
        for place, (box, category_id) in enumerate(zip(boxes, ids, strict=True)):
            annotations.append(
                {
                    "id": 10 * number + place,
                    "image_id": number,
                    "category_id": category_id,
                    "segmentation": _segmentation(box, place),
                    "area": float(box_mask(box).sum()),
                }
            )
        scenes[name] = [(k, box_mask(box)) for box, k in zip(boxes, ids, strict=True)]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": c.id, "name": c.name, "frequency": "rcf"[c.id % 3]}
            for c in categories_of("lvis1203")
        ],
    }
    (data / "lvis_v1_val.json").write_text(json.dumps(document))
    return dict(sorted(scenes.items()))


def write_uvo(data: Path, num_images: int, *, folder: str = "") -> dict[str, Any]:
    """`UVO`; by image the mask of each instance and whether it is a crowd."""
    root = data / "UVO"
    scenes, images, annotations = {}, [], []
    for number in range(1, num_images + 1):
        # Frames of two videos, with the same numbers.
        name = f"video{'ab'[number % 2]}/{number // 2}.png"
        write_photo(root / "uvo_videos_sparse_frames" / name)
        images.append({"id": 100 + number, "file_name": name, **_SIZE_FIELDS})
        for place, box in enumerate(_boxes(number)):
            annotations.append(
                {
                    "id": 10 * number + place,
                    "image_id": 100 + number,
                    "category_id": 1,
                    "iscrowd": int(place == 2),
                    "segmentation": _segmentation(box, place),
                    "area": float(box_mask(box).sum()),
                }
            )
        scenes[name] = [(box_mask(box), place == 2) for place, box in enumerate(_boxes(number))]
    (root / folder).mkdir(exist_ok=True)
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1}]}
    (root / folder / "UVO_frame_val.json").write_text(json.dumps(document))
    return dict(sorted(scenes.items()))
