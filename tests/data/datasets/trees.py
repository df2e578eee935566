"""Miniature datasets in their owners' layouts, with scenes that are known pixel by pixel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from odise_cli.structures import Category
from odise_cli.vocabulary.loader import load_vocabulary

SIZE = (30, 44)


def categories_of(spec: str) -> tuple[Category, ...]:
    return load_vocabulary([spec])[0].categories


def tiled(rng: np.random.Generator, values: list[int], tile: int = 6) -> NDArray[np.int32]:
    """[H, W] tiles of some values."""
    height, width = SIZE
    tiles = rng.choice(values, (-(-height // tile), -(-width // tile)))
    return np.kron(tiles, np.ones((tile, tile), np.int64))[:height, :width].astype(np.int32)


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_photo(path: Path) -> None:
    save(path, np.full((*SIZE, 3), 90, np.uint8))


def write_ade20k(data: Path, num_images: int) -> dict[str, dict[str, NDArray[np.int32]]]:
    """`ADEChallengeData2016`; by image the drawn `semantic`, `kind` (1..100) and `number` maps."""
    root = data / "ADEChallengeData2016"
    scenes = {}
    for number in range(1, num_images + 1):
        rng = np.random.default_rng(number)
        stem = f"ADE_val_{number:08d}"
        # 1 wall and 3 sky are stuff, 8 bed and 150 flag are things, 0 is void.
        semantic = tiled(rng, [0, 1, 3, 8, 150])
        # Instance category 1 is bed, 2 is windowpane (9), 100 is flag; over stuff and void too.
        kind = tiled(rng, [1, 2, 100], tile=10)
        instance = np.where(tiled(rng, [0, 1], tile=10) == 1, tiled(rng, [1, 2, 255], tile=10), 0)
        save(root / "annotations/validation" / f"{stem}.png", semantic.astype(np.uint8))
        channels = np.stack([np.where(instance, kind, 0), instance, np.full(SIZE, 77)], axis=2)
        save(root / "annotations_instance/validation" / f"{stem}.png", channels.astype(np.uint8))
        write_photo(root / "images/validation" / f"{stem}.jpg")
        scenes[f"{stem}.jpg"] = {"semantic": semantic, "kind": kind, "number": instance}
    names = "".join(f"{k}\t0.1\t1\t1\tname\n" for k in range(1, 151))
    (root / "objectInfo150.txt").write_text(f"Idx\tRatio\tTrain\tVal\tName\n{names}")
    return scenes


def write_panoptic(
    annotations: Path, masks: Path, num_images: int, categories: tuple[Category, ...]
) -> dict[str, tuple[NDArray[np.int32], dict[int, tuple[int, int]]]]:
    """A COCO panoptic pair; by image the id map and (category id, iscrowd) of each id."""
    ids = [0, 5, 256, 70_000, 16_777_215]
    chosen = [categories[0], categories[2], categories[-1], categories[0]]
    scenes, images, entries = {}, [], []
    for number in range(1, num_images + 1):
        rng = np.random.default_rng(number)
        id_map = tiled(rng, ids)
        name = f"{number:012d}"
        info = {
            id_: (category.id, int(id_ == 70_000 and number % 2))
            for id_, category in zip(ids[1:], chosen, strict=True)
            if (id_map == id_).any()
        }
        channels = np.stack([id_map % 256, id_map // 256 % 256, id_map // 65_536], axis=2)
        save(masks / f"{name}.png", channels.astype(np.uint8))
        images.append(
            {"id": number, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
        )
        infos = [
            {"id": id_, "category_id": category_id, "iscrowd": iscrowd}
            for id_, (category_id, iscrowd) in info.items()
        ]
        entries.append({"image_id": number, "file_name": f"{name}.png", "segments_info": infos})
        scenes[f"{name}.jpg"] = (id_map, info)
    document = {
        "images": images,
        "annotations": entries,
        "categories": [
            {"id": c.id, "name": c.name, "isthing": int(c.isthing), "color": list(c.color)}
            for c in categories
        ],
    }
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(document))
    return scenes


def detections(number: int) -> list[dict[str, Any]]:
    """A polygon, and a box from (2 + number, 4) to (30, 20) as RLE and as a crowd's plain RLE."""
    left, right, top, bottom = 2 + number, 30, 4, 20
    height, width = SIZE
    box = np.zeros(SIZE, np.uint8, order="F")
    box[top:bottom, left:right] = 1
    # Down the columns: zeros before the box, then its part of a column and the gap to the next.
    plain = [left * height + top, *[bottom - top, height - bottom + top] * (right - left)]
    plain[-1] = (width - right) * height + height - bottom
    common = {"image_id": number, "iscrowd": 0}
    rle = {"size": list(SIZE), "counts": coco_mask.encode(box)["counts"].decode()}
    polygon = [[1, 1, 21, 1, 21, 11, 1, 11]]
    area = float(box.sum())
    return [
        {**common, "id": 10 * number, "category_id": 1, "segmentation": polygon, "area": 200.0},
        {**common, "id": 10 * number + 1, "category_id": 3, "segmentation": rle, "area": area},
        {
            "image_id": number,
            "iscrowd": 1,
            "id": 10 * number + 2,
            "category_id": 1,
            "segmentation": {"size": list(SIZE), "counts": plain},
            "area": area,
        },
    ]


def write_coco(data: Path, num_images: int) -> dict[str, list[dict[str, Any]]]:
    """`coco`; by image the detection annotations: a polygon, a crowd and an overlapping RLE."""
    root = data / "coco"
    categories = categories_of("coco133")
    scenes = write_panoptic(
        root / "annotations/panoptic_val2017.json",
        root / "annotations/panoptic_val2017",
        num_images,
        categories,
    )
    by_image: dict[str, list[dict[str, Any]]] = {}
    for number, name in enumerate(scenes, start=1):
        write_photo(root / "val2017" / name)
        by_image[name] = detections(number)
    images = [{"id": number, "file_name": name} for number, name in enumerate(scenes, start=1)]
    document = {
        "images": images,
        "annotations": [entry for entries in by_image.values() for entry in entries],
        "categories": [{"id": c.id, "name": c.name} for c in categories if c.isthing],
    }
    (root / "annotations/instances_val2017.json").write_text(json.dumps(document))
    return by_image


def write_voc(data: Path, num_images: int) -> dict[str, NDArray[np.int32]]:
    """`VOCdevkit`; by image the values 0..20 and 255 of its palette PNG."""
    root = data / "VOCdevkit" / "VOC2012"
    scenes = {}
    for number in range(num_images):
        values = tiled(np.random.default_rng(number), [0, 1, 15, 20, 255])
        image = Image.fromarray(values.astype(np.uint8), "L").convert("P")
        image.putpalette([channel for value in range(256) for channel in (value, 0, 255 - value)])
        stem = f"2007_{number:06d}"
        write_photo(root / "JPEGImages" / f"{stem}.jpg")
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(image)
        assert (pixels == values).all()
        image.save(root / "SegmentationClass" / f"{stem}.png")
        scenes[f"{stem}.jpg"] = values
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    lines = "".join(f"{Path(name).stem}\n" for name in scenes)
    (root / "ImageSets/Segmentation/val.txt").write_text(lines)
    return scenes


def write_label_pngs(masks: Path, values: list[int], num_images: int) -> dict[str, NDArray[Any]]:
    """Label maps in two folders, 16 bits where 8 are too few."""
    scenes = {}
    for number in range(num_images):
        map_HW = tiled(np.random.default_rng(number), values)
        name = f"{'ab'[number % 2]}/{number}.png"
        save(masks / name, map_HW.astype(np.uint8 if max(values) < 256 else np.uint16))
        scenes[name] = map_HW
    return scenes
