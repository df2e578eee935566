"""Ground truth and prediction of each image of a dataset, read from their files.

Knows the run folder and the dataset; does not know what is measured.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odise_cli.data.predictions import SavedImage, read_prediction, shrunk
from odise_cli.errors import UsageError
from odise_cli.evaluation.pairing import ImagePair
from odise_cli.structures import Labels
from odise_cli.writers.finished_run import FinishedRun
from odise_cli.writers.layout import image_file
from odise_cli.writers.manifest import Row

if TYPE_CHECKING:  # helpers read this module, and have no time for the readers of all datasets
    from odise_cli.commands.dataset_source import DatasetSource


@dataclass(frozen=True, kw_only=True)
class PairEntry:
    """What there is to know of one image before its files are read."""

    pair: ImagePair
    truth: Any
    """The dataset's entry."""
    row: Row
    """Of the prediction, in its run."""


@dataclass(frozen=True, kw_only=True)
class PairReader:
    """Reads ground truth and prediction of an image; can be pickled, for other processes."""

    read_truth: Callable[[Any], Labels]
    """Of the dataset's entry."""
    run: FinishedRun
    """Without its rows."""
    ids: tuple[int, ...]
    """Category ids of the run's vocabulary, in its order."""
    index_of_id: Mapping[int, int]
    """The dataset's category index of each of them."""
    max_short_side_px: int | None

    @classmethod
    def of(cls, source: "DatasetSource", run: FinishedRun) -> "PairReader":
        """For the images of a dataset and their predictions."""
        ids = tuple(entry["id"] for entry in run.run.vocabulary)
        index_of_id = {category.id: k for k, category in enumerate(source.vocabulary.categories)}
        if source.dataset.is_class_agnostic:
            index_of_id = dict.fromkeys(ids, 0)
        return cls(
            read_truth=source.dataset.read_entry,
            run=FinishedRun.at(run.path, run=run.run, rows={}),
            ids=ids,
            index_of_id=index_of_id,
            max_short_side_px=source.dataset.max_short_side_px,
        )

    def __call__(self, entry: PairEntry) -> tuple[Labels, Labels]:
        """The labels of both.

        Raises:
            OdiseError: a file is missing or contradicts the others.
        """
        truth = self.read_truth(entry.truth)
        saved = _saved_image(self.run, entry.row)
        predicted = read_prediction(saved, ids=self.ids, index_of_id=self.index_of_id)
        if self.max_short_side_px is not None:
            predicted = shrunk(predicted, self.max_short_side_px)
        _check_sizes(entry.pair, truth, predicted, self.run)
        return truth, predicted


def pair_entry(source: "DatasetSource", run: FinishedRun, pair: ImagePair) -> PairEntry:
    """What a `PairReader` takes of an image."""
    return PairEntry(
        pair=pair, truth=source.dataset.entry(pair.name), row=run.rows[pair.predicted_name]
    )


def _saved_image(run: FinishedRun, row: Row) -> SavedImage:
    entry: dict[str, Any] = json.loads(run.journal_line(row))
    stem, outputs = row.stem, run.run.outputs
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
