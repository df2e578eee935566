"""A miniature training set in COCO's format: coloured squares before a sky."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

VOCAB = "square | id=1 color=#ff0000; door | id=2 color=#00ff00; sky | stuff id=3"
_CAPTIONS = ("A red square in the sky.", "Two green doors.", "A kite above a house.")
_COLOURS = {1: (220, 40, 40), 2: (40, 200, 60), 3: (120, 160, 230)}


def write_training_set(folder: Path, num_images: int, size: tuple[int, int] = (64, 64)) -> Path:
    """Images, id maps and captions below `folder`: `images/`, `masks/`, two JSON files."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(7)
    images, annotations, captions = [], [], []
    for number in range(num_images):
        category_HW = np.full(size, 3)
        ids_HW = np.full(size, 1)
        segments = [{"id": 1, "category_id": 3, "iscrowd": 0}]
        for segment_id in (2, 3)[: 1 + number % 2]:
            category = int(rng.integers(1, 3))
            top, left = rng.integers(0, 30, 2) + (segment_id - 2) * 16
            box = np.s_[top : top + 18, left : left + 18]
            ids_HW[box], category_HW[box] = segment_id, category
            segments.append({"id": segment_id, "category_id": category, "iscrowd": 0})
        rgb = np.array([(0, 0, 0), *_COLOURS.values()])[category_HW]
        rgb = np.clip(rgb + rng.normal(0, 8, rgb.shape), 0, 255).astype(np.uint8)
        name = f"{number:012d}"
        Image.fromarray(rgb).save(folder / "images" / f"{name}.png")
        id_rgb = np.stack([ids_HW, ids_HW * 0, ids_HW * 0], axis=-1).astype(np.uint8)
        Image.fromarray(id_rgb).save(folder / "masks" / f"{name}.png")
        present = {segment["id"] for segment in segments} & set(np.unique(ids_HW).tolist())
        images.append({"id": number, "file_name": f"{name}.png"})
        annotations.append(
            {
                "image_id": number,
                "file_name": f"{name}.png",
                "segments_info": [s for s in segments if s["id"] in present],
            }
        )
        captions.append({"image_id": number, "id": number, "caption": _CAPTIONS[number % 3]})
    categories = [
        {"id": 1, "name": "square", "isthing": 1},
        {"id": 2, "name": "door", "isthing": 1},
        {"id": 3, "name": "sky", "isthing": 0},
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "panoptic.json").write_text(json.dumps(document))
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    return folder


def write_recipe(path: Path, model: Path, **changes: object) -> Path:
    """A recipe of seconds on such a set; `changes` are lines of its first part."""
    settings: dict[str, object] = {
        "model": str(model),
        "steps": 4,
        "batch_size": 2,
        "log_every": 1,
        "checkpoint_every": 2,
        "num_points": 64,
        "precision": "fp32",
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in (settings | changes).items()]
    pair = 'annotations = "panoptic.json"\nmasks = "masks"\nimages = "images"\n'
    path.write_text(
        "\n".join(lines)
        + '\n[data]\ndataset = "coco-panoptic"\ncaptions = "captions.json"\naugment = false\n'
        + f'{pair}vocab = ["{VOCAB}"]\ncrop_size = 64\n[validation]\n{pair}'
    )
    return path
