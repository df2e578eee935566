"""Ground truth and prediction of each image of a dataset, read from their files.

Knows the run folder and the dataset; does not know what is measured.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from odise_cli.commands.dataset_source import DatasetSource, open_dataset
from odise_cli.config import EvaluateConfig
from odise_cli.data.predictions import SavedImage, read_prediction, shrunk
from odise_cli.errors import UsageError
from odise_cli.evaluation.pairing import ImagePair
from odise_cli.structures import Labels
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.layout import image_file
from odise_cli.writers.manifest import Row
from odise_cli.writers.run_json import RunJson


def pair_reader(
    source: DatasetSource, run: FinishedRun
) -> Callable[[ImagePair], tuple[Labels, Labels]]:
    """What reads ground truth and prediction of an image, from any thread."""
    return partial(_read, source, run.path, run.run, run.rows)


def row_reader(
    source: DatasetSource, run: FinishedRun
) -> Callable[[tuple[ImagePair, Row]], tuple[Labels, Labels]]:
    """The same for an image that comes with its row of the run."""

    def read(image: tuple[ImagePair, Row]) -> tuple[Labels, Labels]:
        pair, row = image
        return _read(source, run.path, run.run, {pair.predicted_name: row}, pair)

    return read


def open_row_reader(
    config: EvaluateConfig, path: Path, run: RunJson
) -> Callable[[tuple[ImagePair, Row]], tuple[Labels, Labels]]:
    """What `row_reader` gives, in a process that knows neither dataset nor rows yet."""
    return row_reader(open_dataset(config), FinishedRun(path=path, run=run, rows={}))


def _read(
    source: DatasetSource, path: Path, run: RunJson, rows: dict[str, Row], pair: ImagePair
) -> tuple[Labels, Labels]:
    ids = [entry["id"] for entry in run.vocabulary]
    index_of_id = {category.id: k for k, category in enumerate(source.vocabulary.categories)}
    if source.dataset.is_class_agnostic:
        index_of_id = dict.fromkeys(ids, 0)
    finished = FinishedRun(path=path, run=run, rows=rows)
    truth = source.dataset.read(pair.name)
    saved = _saved_image(finished, pair.predicted_name)
    predicted = read_prediction(saved, ids=ids, index_of_id=index_of_id)
    if source.dataset.max_short_side_px is not None:
        predicted = shrunk(predicted, source.dataset.max_short_side_px)
    _check_sizes(pair, truth, predicted, finished)
    return truth, predicted


def _saved_image(run: FinishedRun, name: str) -> SavedImage:
    entry: dict[str, Any] = json.loads(run.journal_line(name))
    stem, outputs = run.rows[name].stem, run.run.outputs
    return SavedImage(
        where=run.path,
        panoptic_png=image_file(run.path, "panoptic", stem) if "panoptic" in outputs else None,
        segments_info=entry["panoptic"]["segments_info"] if "panoptic" in outputs else (),
        semantic_png=image_file(run.path, "semantic", stem) if "semantic" in outputs else None,
        instances=entry.get("instances"),
    )


def _check_sizes(pair: ImagePair, truth: Labels, predicted: Labels, run: FinishedRun) -> None:
    maps = [predicted.panoptic, predicted.semantic]
    sizes = [runs.size for runs in maps if runs is not None]
    sizes += [tuple(mask.rle["size"]) for mask in predicted.instances or ()]
    for size in sizes:
        if size != truth.size:
            raise UsageError(
                f"{run.path}: the prediction for {pair.predicted_name!r} is {size} (height, "
                f"width), its ground truth is {truth.size}. Expected the same size. Segment the "
                "dataset's own images, not resized or turned ones."
            )
