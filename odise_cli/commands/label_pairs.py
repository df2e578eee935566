"""Ground truth and prediction of each image of a dataset, read from their files.

Knows the run folder and the dataset; does not know what is measured.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from odise_cli.commands.dataset_source import DatasetSource
from odise_cli.data.predictions import SavedImage, read_prediction, shrunk
from odise_cli.errors import UsageError
from odise_cli.evaluation.pairing import ImagePair
from odise_cli.structures import Labels
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.layout import image_file

_MAX_READERS = 8
_READ_AHEAD = 2
"""Images read ahead for each reader: bounds the memory."""


def read_pairs(
    source: DatasetSource, run: FinishedRun, pairs: Sequence[ImagePair]
) -> Iterator[tuple[Labels, Labels]]:
    """Ground truth and prediction of each image, in order, a bounded number read ahead."""
    read = pair_reader(source, run)
    num_readers = min(_MAX_READERS, os.cpu_count() or 1)
    waiting: deque[Future[tuple[Labels, Labels]]] = deque()
    with ThreadPoolExecutor(num_readers) as pool:
        try:
            for pair in pairs:
                waiting.append(pool.submit(read, pair))
                if len(waiting) > _READ_AHEAD * num_readers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def pair_reader(
    source: DatasetSource, run: FinishedRun
) -> Callable[[ImagePair], tuple[Labels, Labels]]:
    """What reads ground truth and prediction of an image, from any thread."""
    ids = [category.id for category in run.run.categories()]
    index_of_id = {category.id: k for k, category in enumerate(source.vocabulary.categories)}
    if source.dataset.is_class_agnostic:
        index_of_id = dict.fromkeys(ids, 0)

    def read(pair: ImagePair) -> tuple[Labels, Labels]:
        truth = source.dataset.read(pair.name)
        saved = _saved_image(run, pair.predicted_name)
        predicted = read_prediction(saved, ids=ids, index_of_id=index_of_id)
        if source.dataset.max_short_side_px is not None:
            predicted = shrunk(predicted, source.dataset.max_short_side_px)
        _check_sizes(pair, truth, predicted, run)
        return truth, predicted

    return read


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
    maps = [predicted.panoptic_HW, predicted.semantic_HW]
    sizes = [map_HW.shape for map_HW in maps if map_HW is not None]
    sizes += [tuple(mask.rle["size"]) for mask in predicted.instances or ()]
    for size in sizes:
        if size != truth.size:
            raise UsageError(
                f"{run.path}: the prediction for {pair.predicted_name!r} is {size} (height, "
                f"width), its ground truth is {truth.size}. Expected the same size. Segment the "
                "dataset's own images, not resized or turned ones."
            )
