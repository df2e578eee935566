"""Images/s of `odise evaluate` on saved predictions beside hotcoco and pycocotools.

    python benchmarks/evaluator.py --images 1000 --record benchmarks/results.csv

Panoptic pairs of COCO's size are drawn: about a dozen regions each, void and crowd among them, and
instances that are the regions of things. Everything is timed from the files on: decoding, matching
and figures; of ours also the start of its processes. All three run one after the other on the same
files, several times; the best of each counts, since other work on the machine only adds.
"""

import argparse
import contextlib
import datetime
import io
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hotcoco
import numpy as np
from hotcoco.panoptic import pq_compute
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from odise_cli.commands.evaluate import run_evaluate
from odise_cli.config import EvaluateConfig
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


def main() -> None:
    """Draw, time, compare, print; append rows with --record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--record", type=Path, default=None, help="CSV file to append to")
    arguments = parser.parse_args()
    # Not above: odise's processes import this file, and have no use for torch.
    from throughput import append_row

    categories = load_vocabulary([VOCABULARY])[0].categories
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_pairs(folder, arguments.images, categories)
        for outputs, contestants in (
            ("panoptic", {"odise": ours(folder, "pq"), "hotcoco": hotcoco_pq(folder)}),
            (
                "instances",
                {
                    "odise": ours(folder, "ap"),
                    "hotcoco": detection(folder, hotcoco.COCO, hotcoco.COCOeval),
                    "pycocotools": detection(folder, COCO, COCOeval),
                },
            ),
        ):
            timed = {name: best_of(arguments.repeats, run) for name, run in contestants.items()}
            figure = timed["odise"][2]
            for name, (seconds, cpu, found) in timed.items():
                assert abs(found - figure) < 1e-9, (name, found, figure)
                row = make_row(name, outputs, arguments.images, seconds, cpu, found)
                print(outputs, name, row["images_per_s"], "images/s,", row["accuracy"])
                if arguments.record is not None:
                    append_row(arguments.record, row)


def best_of(repeats: int, run: Callable[[], float]) -> tuple[float, float, float]:
    """The shortest wall and CPU times in seconds, and the figure that came out."""
    wall, cpu, figure = [], [], 0.0
    for _ in range(repeats):
        started, cpu_started = time.perf_counter(), cpu_seconds()
        figure = run()
        wall.append(time.perf_counter() - started)
        cpu.append(cpu_seconds() - cpu_started)
    return min(wall), min(cpu), figure


def cpu_seconds() -> float:
    """Of this process and of those that it has started."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def ours(folder: Path, measure: str) -> Callable[[], float]:
    """`odise evaluate --predictions`, in percent as a share."""

    def run() -> float:
        report = run_evaluate(
            EvaluateConfig(
                dataset="coco-panoptic",
                annotations=folder / "truth.json",
                masks=folder / "truth",
                vocab=(VOCABULARY,),
                predictions=folder / measure,
            ),
            on_notice=lambda _: None,
            on_progress=lambda *_: None,
            should_stop=lambda: False,
        )
        assert report is not None
        figure = report.figures["PQ" if measure == "pq" else "mAP"]
        assert figure is not None
        return figure / 100

    return run


def hotcoco_pq(folder: Path) -> Callable[[], float]:
    """The same files by hotcoco."""

    def run() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            found = pq_compute(
                folder / "truth.json",
                folder / "pq/panoptic.json",
                folder / "truth",
                folder / "pq/panoptic",
            )
        return float(found["All"]["pq"])

    return run


def detection(folder: Path, coco: type, evaluator: type) -> Callable[[], float]:
    """The instances of the same files by an evaluator with pycocotools' interface."""

    def run() -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = coco(str(folder / "instances.json"))
            load = getattr(truth, "load_res", None) or truth.loadRes
            found = evaluator(truth, load(str(folder / "ap/instances.json")), "segm")
            found.evaluate()
            found.accumulate()
            found.summarize()
        return float(found.stats[0])

    return run


def make_row(
    name: str, outputs: str, images: int, seconds: float, cpu: float, found: float
) -> dict[str, object]:
    """One row: what ran, on what, how fast."""
    from throughput import git_commit

    peak_kib = max(resource.getrusage(who).ru_maxrss for who in (0, -1))
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": git_commit(),
        "technique": f"evaluate: {name}",
        "model": "",
        "size": f"{SIZE[1]}x{SIZE[0]}",
        "outputs": outputs,
        "torch": "",
        "device": f"cpu {platform.processor() or platform.machine()}",
        "threads": os.cpu_count(),
        "precision": "",
        "batch": "",
        "images": images,
        **dict.fromkeys(("decode_s", "features_s", "masks_s", "classify_s", "postprocess_s"), ""),
        "write_s": "",
        "total_s": round(seconds / images, 6),
        "images_per_s": round(images / seconds, 1),
        "peak_rss_mib": peak_kib // 1024 if name == "odise" else "",
        "peak_cuda_mib": "",
        "unet_pass_s": "",
        "accuracy": f"{'PQ' if outputs == 'panoptic' else 'mAP'} {found:.9f}; "
        f"{1e3 * cpu / images:.2f} CPU ms an image",
    }


def write_pairs(folder: Path, count: int, categories: tuple[Category, ...]) -> None:
    """Ground truth, and run folders `pq` and `ap` as `odise segment` writes them."""
    (folder / "truth").mkdir()
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


if __name__ == "__main__":
    main()
