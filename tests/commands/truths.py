"""Ground truth written as if a run had found it."""

from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from odise_cli.commands.dataset_source import DatasetSource, open_dataset
from odise_cli.config import EvaluateConfig
from odise_cli.evaluation.average_precision import thing_instances
from odise_cli.structures import (
    DecodedImage,
    FailedImage,
    ImageRecord,
    ImageResult,
    Instances,
    Labels,
    Segment,
    Segmentation,
)
from odise_cli.writers.run_folder import RunFolder
from tests.data.datasets.trees import (
    categories_of,
    write_ade20k,
    write_coco,
    write_label_pngs,
    write_panoptic,
    write_voc,
)
from tests.data.datasets.trees_instances import write_lvis, write_uvo
from tests.data.datasets.trees_semantic import (
    write_ade20k_full,
    write_context59,
    write_context459,
)
from tests.data.datasets.trees_streets import write_cityscapes, write_mapillary

NUM_IMAGES = 4
_WRITERS = {
    "ade20k": write_ade20k,
    "ade20k-full": write_ade20k_full,
    "coco": write_coco,
    "voc21": write_voc,
    "context59": write_context59,
    "context459": write_context459,
    "cityscapes": write_cityscapes,
    "mapillary": write_mapillary,
    "lvis": write_lvis,
    "uvo": write_uvo,
}
DATASET_NAMES = (*_WRITERS, "coco-panoptic", "label-png")


def write_dataset(folder: Path, name: str) -> dict[str, object]:
    """A miniature dataset below `folder`; the fields of `EvaluateConfig` that name it."""
    if name in _WRITERS:
        _WRITERS[name](folder, NUM_IMAGES)
    elif name == "coco-panoptic":
        annotations, masks = folder / "x.json", folder / "x"
        write_panoptic(annotations, masks, NUM_IMAGES, categories_of("coco133"))
        return {"dataset": name, "annotations": annotations, "masks": masks}
    else:
        write_label_pngs(folder / "masks", [3, 300, 7, 255], NUM_IMAGES)
        vocab = ("cat | id=3; sky | stuff id=300; door | id=7",)
        return {"dataset": name, "masks": folder / "masks", "vocab": vocab}
    return {"dataset": name, "data": folder}


def write_truth(
    source: DatasetSource,
    out: Path,
    *,
    outputs: tuple[str, ...],
    failing: tuple[int, ...] = (),
    root: Path = Path("/photos"),
) -> None:
    """A run folder whose results are the dataset's ground truth."""
    with RunFolder.open(
        out,
        settings={
            "root": str(root),
            "model": {"short_side": 1024, "long_side": 2560},
            "weights": "0" * 64,
        },
        info={"model": "label"},
        categories=source.vocabulary.categories,
        outputs=outputs,
        overwrite=False,
    ) as folder:
        records = []
        for number, name in enumerate(source.dataset.image_names, start=1):
            stem = name.rsplit(".", 1)[0]
            path = root / f"{stem}.jpg"
            record = ImageRecord(path=path, name=f"{stem}.jpg", stem=stem, image_id=number)
            records.append(record)
            if number in failing:
                folder.write_failure(FailedImage(record=record, error="is truncated"))
            else:
                folder.write(as_result(record, source.dataset.read(name), source))
        folder.finish(records, {"seconds": 1.0})


def as_result(record: ImageRecord, labels: Labels, source: DatasetSource) -> ImageResult:
    is_thing = np.array([c.isthing for c in source.vocabulary.categories])
    masks, instances = labels.instances, None
    panoptic_HW = np.zeros(labels.size, np.int32)
    if labels.panoptic is not None:
        panoptic_HW = labels.panoptic.to_map()
    if labels.panoptic is not None and masks is None:
        masks = thing_instances(labels, is_thing)
    if masks is not None:
        masks = [mask for mask in masks if not mask.iscrowd]
        pixels = [coco_mask.decode(mask.rle).ravel() for mask in masks]
        height, width = labels.size
        packed = np.packbits(np.array(pixels).reshape(len(masks), height * width), axis=1)
        instances = Instances(
            categories=np.array([mask.category for mask in masks], np.int32),
            scores=np.ones(len(masks), np.float32),
            packed_masks=packed,
            mask_rows=np.arange(len(masks)),
        )
    pixels_HW3 = np.zeros((*labels.size, 3), np.uint8)
    return ImageResult(
        image=DecodedImage(
            record=record, pixels_HW3=pixels_HW3, resized_HW3=pixels_HW3, decode_ms=0.0
        ),
        segmentation=Segmentation(
            panoptic_HW=panoptic_HW,
            segments=tuple(
                Segment(id=region.id, category=region.category, score=1.0, alternatives=())
                for region in sorted(labels.regions, key=lambda region: region.id)
            ),
            semantic_HW=None if labels.semantic is None else labels.semantic.to_map(),
            instances=instances,
        ),
        stage_ms={},
    )


def truth_run(tmp_path: Path, name: str, *, failing: tuple[int, ...] = ()) -> dict[str, object]:
    """A dataset and its ground truth as predictions; the fields of an `EvaluateConfig`."""
    fields = write_dataset(tmp_path / "data", name)
    source = open_dataset(EvaluateConfig(**fields))
    write_truth(source, tmp_path / "preds", outputs=source.dataset.outputs, failing=failing)
    return {**fields, "predictions": tmp_path / "preds"}
