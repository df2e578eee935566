"""Panoptic pairs of COCO's size: ground truth, and predictions as `odise segment` writes them.

About a dozen regions each, void and crowd among them, and instances that are the regions of things.
"""

import contextlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from odise_cli.structures import (
    Category,
    DecodedImage,
    ImageRecord,
    ImageResult,
    Instances,
    Segment,
    Segmentation,
)
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.writers.run_folder import RunFolder

SIZE = (480, 640)
NUM_REGIONS = 12
NUM_DRAWN = 32
"""Different pairs; they repeat after so many."""
VOCABULARY = "; ".join(f"c{k} | {'thing' if k < 12 else 'stuff'} id={k + 1}" for k in range(20))


def write_pairs(folder: Path, count: int) -> None:
    """Ground truth, and run folders `pq` and `ap` as `odise segment` writes them."""
    categories = load_vocabulary([VOCABULARY])[0].categories
    (folder / "truth").mkdir(parents=True)
    truth = {"images": [], "annotations": [], "categories": coco_categories(categories)}
    instances = {"images": truth["images"], "annotations": [], "categories": truth["categories"]}
    drawn = [draw(number) for number in range(min(count, NUM_DRAWN))]
    runs = {"pq": ("panoptic",), "ap": ("instances",)}
    with contextlib.ExitStack() as stack:
        folders = {
            name: stack.enter_context(
                RunFolder.open(
                    folder / name,
                    settings={},
                    info={},
                    categories=categories,
                    outputs=outputs,
                    overwrite=False,
                )
            )
            for name, outputs in runs.items()
        }
        records = []
        for number in range(count):
            true_HW, predicted_HW, region_categories = drawn[number % NUM_DRAWN]
            stem = f"{number:012}"
            record = ImageRecord(path=folder / stem, name=f"{stem}.jpg", stem=stem, image_id=number)
            records.append(record)
            write_truth(folder, record, true_HW, region_categories, truth, instances)
            result = as_result(record, predicted_HW, region_categories)
            for run in folders.values():
                run.write(result)
        for run in folders.values():
            run.finish(records, {})
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "instances.json").write_text(json.dumps(instances))


def draw(number: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Ids of true and of predicted regions, [H, W] from 1, and the category of each."""
    rng = np.random.default_rng(number)
    height, width = SIZE
    rows_HW, columns_HW = np.mgrid[:height, :width].astype(np.float32)
    centres = rng.random((NUM_REGIONS, 2)) * SIZE

    def nearest_centre() -> NDArray[np.int32]:
        bent = []
        for coordinates_HW in (rows_HW, columns_HW):
            coarse = Image.fromarray(rng.normal(0, 20, (12, 16)).astype(np.float32))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
            bent.append(coordinates_HW + smooth + rng.normal(0, 0.3, SIZE).astype(np.float32))
        distances = [(bent[0] - y) ** 2 + (bent[1] - x) ** 2 for y, x in centres]
        return np.argmin(distances, axis=0).astype(np.int32) + 1

    return nearest_centre(), nearest_centre(), rng.integers(0, 20, NUM_REGIONS)


def write_truth(
    folder: Path,
    record: ImageRecord,
    true_HW: NDArray[np.int32],
    region_categories: NDArray[np.int64],
    truth: dict[str, list],
    instances: dict[str, list],
) -> None:
    """One image's id map and entries: region 1 is void, region 2 a crowd."""
    rng = np.random.default_rng(record.image_id)
    file_ids = rng.choice(np.arange(1, 2**24), NUM_REGIONS + 1, replace=False).astype(np.int32)
    file_ids[1] = 0
    # By Pillow, as COCO's own are: filters that differ from row to row are slower to decode.
    id_bytes_HW4 = np.ascontiguousarray(file_ids[true_HW], "<i4").view(np.uint8)
    id_bytes_HW3 = id_bytes_HW4.reshape(*SIZE, 4)[..., :3]
    Image.fromarray(id_bytes_HW3).save(folder / "truth" / f"{record.stem}.png")
    truth["images"].append(
        {"id": record.image_id, "file_name": record.name, "height": SIZE[0], "width": SIZE[1]}
    )
    infos = []
    for region in sorted(set(np.unique(true_HW).tolist()) - {1}):
        category, area = int(region_categories[region - 1]), int((true_HW == region).sum())
        entry = {"category_id": category + 1, "iscrowd": int(region == 2), "area": area}
        infos.append({**entry, "id": int(file_ids[region]), "bbox": [0, 0, 1, 1]})
        if category < 12:
            rle = coco_mask.encode(np.asfortranarray(true_HW == region, np.uint8))
            rle["counts"] = rle["counts"].decode()
            own = {"id": len(instances["annotations"]) + 1, "image_id": record.image_id}
            box = coco_mask.toBbox(rle).tolist()
            instances["annotations"].append({**entry, **own, "segmentation": rle, "bbox": box})
    truth["annotations"].append(
        {"image_id": record.image_id, "file_name": f"{record.stem}.png", "segments_info": infos}
    )


def as_result(
    record: ImageRecord, predicted_HW: NDArray[np.int32], region_categories: NDArray[np.int64]
) -> ImageResult:
    """What a model would have found; its instances are the regions of things."""
    rng = np.random.default_rng(record.image_id)
    found = np.unique(predicted_HW).tolist()
    things = [region for region in found if region_categories[region - 1] < 12]
    masks = np.array([(predicted_HW == region).ravel() for region in things])
    nothing = np.zeros((*SIZE, 3), np.uint8)
    return ImageResult(
        image=DecodedImage(record=record, pixels_HW3=nothing, resized_HW3=nothing, decode_ms=0.0),
        segmentation=Segmentation(
            panoptic_HW=predicted_HW,
            segments=tuple(
                Segment(
                    id=region,
                    category=int(region_categories[region - 1]),
                    score=1.0,
                    alternatives=(),
                )
                for region in found
            ),
            instances=Instances(
                categories=region_categories[np.array(things) - 1].astype(np.int32),
                scores=rng.random(len(things)).astype(np.float32),
                packed_masks=np.packbits(masks.reshape(len(things), -1), axis=1),
                mask_rows=np.arange(len(things)),
            ),
        ),
        stage_ms={},
    )


def coco_categories(categories: tuple[Category, ...]) -> list[dict[str, object]]:
    """The list `categories`."""
    return [
        {"id": c.id, "name": c.name, "isthing": int(c.isthing), "color": list(c.color)}
        for c in categories
    ]
