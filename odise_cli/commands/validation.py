"""Scores of a network while it trains: the engine and the measures of `odise evaluate`.

What `odise evaluate` reads back from files stays in memory here; the figures are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odise_cli.commands.evaluation_figures import Scorers
from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.data.datasets.dataset import Dataset
from odise_cli.data.decode import decode_image
from odise_cli.data.records import make_records
from odise_cli.engine import EmbeddedVocabulary, Engine
from odise_cli.errors import MissingDataError
from odise_cli.evaluation.mean_iou import MeanIoU
from odise_cli.evaluation.panoptic_quality import PanopticQuality
from odise_cli.postprocess import SegmentOptions
from odise_cli.recipe.schema import ValidationConfig
from odise_cli.structures import ImageRecord, LabelRuns, Labels, Region, Segmentation
from odise_cli.vocabulary.vocabulary import Vocabulary

_HEADLINES = ("PQ", "PQ_things", "PQ_stuff", "mIoU")


@dataclass(frozen=True, kw_only=True)
class ValidationData:
    """Images with ground truth, found and not read."""

    vocabulary: Vocabulary
    dataset: Dataset
    records: tuple[ImageRecord, ...]
    """Of the images that are scored, in the dataset's order."""


def find_validation_data(
    config: ValidationConfig, data: Path, vocabulary: Vocabulary
) -> ValidationData:
    """Open what a recipe validates on.

    Args:
        config: the recipe's table.
        data: what its paths count from.
        vocabulary: with the ids of the annotation file.

    Raises:
        MissingDataError: a file or an image is not there.
        UsageError: the files contradict each other or the vocabulary.
    """
    images = data / config.images
    dataset = open_coco_panoptic(
        data / config.annotations, data / config.masks, vocabulary.categories, images=images
    )
    names = dataset.image_names[: config.limit]
    missing = [name for name in names if not (images / name).is_file()]
    if missing or not names:
        found = f"{len(missing):,} of {len(names):,} images are not there ({missing[:1]})"
        raise MissingDataError(
            f"{images}: {found}. Expected the images of {config.annotations}. "
            "Complete the folder, or set validation.every = 0."
        )
    records = make_records([images / name for name in names], images)
    return ValidationData(vocabulary=vocabulary, dataset=dataset, records=records)


def validate(
    engine: Engine,
    text: EmbeddedVocabulary,
    data: ValidationData,
    *,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, float | None]:
    """Panoptic quality and mean IoU in percent, as `odise evaluate` measures them.

    Args:
        engine: with the network as it is now.
        text: the embedded vocabulary of `data`.
        data: what is scored.
        on_progress: told (done, total) after each image.

    Raises:
        OdiseError: an image or its ground truth cannot be read.
    """
    categories = data.vocabulary.categories
    scorers = Scorers(
        is_thing=np.array([category.isthing for category in categories], bool),
        panoptic=PanopticQuality(len(categories)),
        instances=None,
        semantic=MeanIoU(len(categories)),
    )
    config, options = engine.model.config, SegmentOptions(has_semantic=True)
    for number, (name, record) in enumerate(
        zip(data.dataset.image_names, data.records, strict=False)
    ):
        image = decode_image(record, short_side=config.short_side, long_side=config.long_side)
        (result,) = engine.segment_batch([image], text, options)
        scorers.update(number, data.dataset.read(name), _to_labels(result.segmentation))
        on_progress(number + 1, len(data.records))
    figures = scorers.compute().figures()
    return {name: figures[name] for name in _HEADLINES}


def _to_labels(segmentation: Segmentation) -> Labels:
    """What reading the files of this segmentation back would give."""
    assert segmentation.semantic_HW is not None
    return Labels(
        panoptic=LabelRuns.of_map(segmentation.panoptic_HW),
        regions=tuple(Region(id=s.id, category=s.category) for s in segmentation.segments),
        semantic=LabelRuns.of_map(segmentation.semantic_HW),
    )
