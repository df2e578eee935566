"""Scores by category become the named figures of a report, in percent.

Knows what figures are called; does not know where labels come from.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.datasets.dataset import Dataset
from odise_cli.evaluation.average_precision import (
    AveragePrecision,
    PrecisionScores,
    mean_precision,
    thing_instances,
)
from odise_cli.evaluation.average_recall import AverageRecall, RecallScores
from odise_cli.evaluation.confusions import costliest_pixels, costliest_segments
from odise_cli.evaluation.federated_precision import FederatedPrecision
from odise_cli.evaluation.mean_iou import MeanIoU, SemanticScores
from odise_cli.evaluation.panoptic_quality import PanopticQuality, PanopticScores
from odise_cli.evaluation.ranking import ImageRanking, Ranking
from odise_cli.structures import VOID_CATEGORY, Category, Labels

NUM_RANKED_IMAGES = 6
"""Worst images and best images in a report, each with three pictures."""
NUM_CONFUSIONS = 20
"""Pairs of categories in a report."""
_DECIMALS = 10
"""Of a percentage: beyond it there is only the order of a sum."""


@dataclass(kw_only=True)
class Scorers:
    """The accumulators of one evaluation; None where nothing is to be measured."""

    is_thing: NDArray[np.bool_]
    """[K] of the dataset's categories."""
    panoptic: PanopticQuality | None
    instances: AveragePrecision | FederatedPrecision | None
    semantic: MeanIoU | None
    recall: AverageRecall | None = None
    frequencies: tuple[str, ...] | None = None
    """[K] "r", "c" or "f", where categories are told apart by it."""
    ranking: ImageRanking = field(default_factory=lambda: ImageRanking(NUM_RANKED_IMAGES))
    """Images by the PQ that each has alone; by mIoU where there is no PQ."""

    def update(self, image: int, truth: Labels, predicted: Labels) -> None:
        """Add one image; `image` is a number that no other has."""
        quality = math.nan
        if self.semantic is not None:
            semantic = semantic_of(truth, predicted, len(self.is_thing))
            self.semantic.merge(semantic)
            quality = semantic.compute().mean_iou(np.ones_like(self.is_thing))
        if self.panoptic is not None:
            panoptic = panoptic_of(truth, predicted, len(self.is_thing))
            self.panoptic.merge(panoptic)
            quality = panoptic.mean_pq()
        self.ranking.update(image, quality)
        if self.instances is not None or self.recall is not None:
            self._update_instances(image, truth, predicted)

    def _update_instances(self, image: int, truth: Labels, predicted: Labels) -> None:
        assert predicted.instances is not None
        instances = truth.instances
        if instances is None:
            instances = thing_instances(truth, self.is_thing)
        if isinstance(self.instances, FederatedPrecision):
            self.instances.update(
                image,
                instances,
                predicted.instances,
                absent=truth.absent_categories,
                incomplete=truth.incomplete_categories,
            )
        elif self.instances is not None:
            self.instances.update(image, instances, predicted.instances)
        if self.recall is not None:
            self.recall.update(image, instances, predicted.instances)

    def merge(self, other: "Scorers") -> None:
        """Add the images that other accumulators of the same have seen; none may be here too."""
        pairs: list[tuple[Any, Any]] = [
            (self.panoptic, other.panoptic),
            (self.instances, other.instances),
            (self.semantic, other.semantic),
            (self.recall, other.recall),
            (self.ranking, other.ranking),
        ]
        for own, others in pairs:
            assert (own is None) == (others is None)
            if own is not None:
                own.merge(others)

    def compute(self) -> "Scores":
        """The scores of the images so far."""
        return Scores(
            is_thing=self.is_thing,
            panoptic=self.panoptic.compute() if self.panoptic else None,
            instances=self.instances.compute() if self.instances else None,
            semantic=self.semantic.compute() if self.semantic else None,
            recall=self.recall.compute() if self.recall else None,
            frequencies=self.frequencies,
            ranking=self.ranking.compute(),
        )


def scorers_for(
    dataset: Dataset, categories: Sequence[Category], measured: Sequence[str]
) -> Scorers:
    """What a dataset's benchmark measures of some outputs.

    Args:
        dataset: the ground truth.
        categories: its categories, in the words of the predictions.
        measured: the outputs that there are predictions of.
    """
    is_thing = np.array([category.isthing for category in categories], bool)
    instances: AveragePrecision | FederatedPrecision | None = None
    if "instances" in measured and not dataset.is_class_agnostic:
        instances = (
            AveragePrecision(is_thing)
            if dataset.frequencies is None
            else FederatedPrecision(len(categories))
        )
    return Scorers(
        is_thing=is_thing,
        panoptic=PanopticQuality(len(categories)) if "panoptic" in measured else None,
        instances=instances,
        semantic=MeanIoU(len(categories)) if "semantic" in measured else None,
        recall=AverageRecall() if dataset.has_recall and "instances" in measured else None,
        frequencies=dataset.frequencies,
    )


def panoptic_of(truth: Labels, predicted: Labels, num_categories: int) -> PanopticQuality:
    """The matches of one image."""
    assert truth.panoptic is not None
    assert predicted.panoptic is not None
    quality = PanopticQuality(num_categories)
    quality.update(truth.panoptic, truth.regions, predicted.panoptic, predicted.regions)
    return quality


def semantic_of(truth: Labels, predicted: Labels, num_categories: int) -> MeanIoU:
    """The confusion matrix of one image."""
    assert truth.semantic is not None
    assert predicted.semantic is not None
    accumulator = MeanIoU(num_categories)
    accumulator.update(truth.semantic, predicted.semantic)
    return accumulator


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores by category of whatever was measured."""

    is_thing: NDArray[np.bool_]
    panoptic: PanopticScores | None = None
    instances: PrecisionScores | None = None
    semantic: SemanticScores | None = None
    recall: RecallScores | None = None
    frequencies: tuple[str, ...] | None = None
    ranking: Ranking = field(default_factory=lambda: Ranking(worst=(), best=()))

    @property
    def ranking_measure(self) -> str | None:
        """The figure by which images are ranked; None where nothing ranks them."""
        if self.panoptic is not None:
            return "PQ"
        return None if self.semantic is None else "mIoU"

    @property
    def has_truth(self) -> NDArray[np.bool_]:
        """[K] whether any of what was measured has ground truth of the category."""
        known = np.zeros_like(self.is_thing)
        for scores in (self.panoptic, self.instances, self.semantic):
            if scores is not None:
                known |= scores.has_truth
        return known

    def figures(self) -> dict[str, float | None]:
        """The figures over all categories by name; None where there is nothing to average."""
        figures: dict[str, float] = {}
        if self.panoptic is not None:
            everything = np.ones_like(self.is_thing)
            for suffix, is_wanted in (
                ("", everything),
                ("_things", self.is_thing),
                ("_stuff", ~self.is_thing),
                ("_with_truth", self.panoptic.has_truth),
            ):
                average = self.panoptic.average(is_wanted)
                figures |= {
                    f"PQ{suffix}": average.pq,
                    f"SQ{suffix}": average.sq,
                    f"RQ{suffix}": average.rq,
                }
        if (scores := self.instances) is not None:
            figures |= {
                "mAP": mean_precision(scores.ap),
                "AP50": mean_precision(scores.ap50),
                "AP75": mean_precision(scores.ap75),
                "AP_small": mean_precision(scores.ap_small),
                "AP_medium": mean_precision(scores.ap_medium),
                "AP_large": mean_precision(scores.ap_large),
            }
            if self.frequencies is not None:
                for letter in "rcf":
                    is_wanted = np.array([f == letter for f in self.frequencies])
                    figures[f"AP_{letter}"] = mean_precision(scores.ap[is_wanted])
        if self.recall is not None:
            figures |= {
                "AR@100": self.recall.ar,
                "AR_small": self.recall.ar_small,
                "AR_medium": self.recall.ar_medium,
                "AR_large": self.recall.ar_large,
            }
        if self.semantic is not None:
            figures |= {
                "mIoU": self.semantic.mean_iou(np.ones_like(self.is_thing)),
                "fwIoU": self.semantic.frequency_weighted_iou,
                "pixel_accuracy": self.semantic.pixel_accuracy,
                "mean_accuracy": self.semantic.mean_accuracy,
            }
        return {name: percent(value) for name, value in figures.items()}

    def figures_of(self, is_wanted: NDArray[np.bool_]) -> dict[str, float | None]:
        """The headline figures over some categories, [K], by the same rules."""
        figures: dict[str, float] = {}
        if self.panoptic is not None:
            figures["PQ"] = self.panoptic.average(is_wanted).pq
        if self.instances is not None:
            figures["mAP"] = mean_precision(self.instances.ap[is_wanted])
        if self.semantic is not None:
            figures["mIoU"] = self.semantic.mean_iou(is_wanted)
        return {name: percent(value) for name, value in figures.items()}

    def category_rows(self, categories: Sequence[Category]) -> list[dict[str, Any]]:
        """Every category's figures, by name; no rows where nothing is measured by category."""
        columns: dict[str, NDArray[np.float64]] = {}
        if (panoptic := self.panoptic) is not None:
            columns |= {"PQ": panoptic.pq, "RQ": panoptic.rq}
            columns["SQ"] = np.where(panoptic.is_counted, panoptic.sq, np.nan)
        if self.instances is not None:
            columns |= {"AP": self.instances.ap, "AP50": self.instances.ap50}
        if self.semantic is not None:
            columns |= {"IoU": self.semantic.iou, "accuracy": self.semantic.accuracy}
        if not columns:
            return []
        rows = []
        for index, category in enumerate(categories):
            row: dict[str, Any] = {
                "id": category.id,
                "name": category.name,
                "isthing": category.isthing,
            }
            row |= {name: percent(float(values[index])) for name, values in columns.items()}
            if self.panoptic is not None:
                row |= {
                    "num_matched": int(self.panoptic.num_matched[index]),
                    "num_spurious": int(self.panoptic.num_spurious[index]),
                    "num_missed": int(self.panoptic.num_missed[index]),
                }
            if self.semantic is not None:
                row["num_true_px"] = int(self.semantic.num_true[index])
            rows.append(row)
        return rows

    def confusion_rows(self, categories: Sequence[Category]) -> dict[str, list[dict[str, Any]]]:
        """By what was measured, the pairs of categories whose confusion costs most."""
        found = {}
        if self.panoptic is not None:
            segments = costliest_segments(self.panoptic, num_kept=NUM_CONFUSIONS)
            found["panoptic"] = ("num_segments", segments)
        if self.semantic is not None:
            pixels = costliest_pixels(self.semantic, num_kept=NUM_CONFUSIONS)
            found["semantic"] = ("num_px", pixels)
        names = {VOID_CATEGORY: None} | {k: c.name for k, c in enumerate(categories)}
        return {
            measured: [
                {
                    "true": names[pair.true],
                    "predicted": names[pair.predicted],
                    unit: pair.count,
                    "cost": percent(pair.cost),
                }
                for pair in pairs
            ]
            for measured, (unit, pairs) in found.items()
        }

    def ranked_images(self, names: Sequence[str]) -> dict[str, Any]:
        """The worst and the best images by the figure that each has alone."""
        ends = {"worst": self.ranking.worst, "best": self.ranking.best}
        return {"measure": self.ranking_measure} | {
            end: [{"name": names[image], "value": percent(value)} for image, value in ranked]
            for end, ranked in ends.items()
        }

    def without_truth(self, categories: Sequence[Category]) -> dict[str, list[str]]:
        """By what was measured, the names of the categories that have no ground truth."""
        measured = {
            "panoptic": None if self.panoptic is None else self.panoptic.has_truth,
            "instances": (
                None if self.instances is None else self.instances.has_truth | ~self.is_thing
            ),
            "semantic": None if self.semantic is None else self.semantic.has_truth,
        }
        return {
            name: [
                c.name for c, is_there in zip(categories, has_truth, strict=True) if not is_there
            ]
            for name, has_truth in measured.items()
            if has_truth is not None
        }


def percent(value: float) -> float | None:
    """A share as a percentage that JSON can hold; None for NaN."""
    return None if math.isnan(value) else round(100 * value, _DECIMALS)
