"""Saved results of one image as labels of a dataset, with its category indices.

Reads the files and annotations of `odise segment`; does not know where a run folder keeps them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from odise_cli.data.datasets.coco_panoptic import check_same_ids, segments_info_to_regions
from odise_cli.data.datasets.dataset import runs_to_categories
from odise_cli.data.geometry import nearest, shrunk_size
from odise_cli.data.label_images import read_id_runs, read_label_runs
from odise_cli.data.rle import are_whole, check_rle
from odise_cli.errors import UsageError
from odise_cli.structures import VOID_CATEGORY, InstanceMask, LabelRuns, Labels, Region

_ADVICE = "Segment the image again."


@dataclass(frozen=True, kw_only=True)
class SavedImage:
    """What a run says of one image; parts that it did not write are None."""

    where: Path
    """The run's folder, for messages."""
    panoptic_png: Path | None
    segments_info: Sequence[Mapping[str, Any]]
    semantic_png: Path | None
    instances: Sequence[Mapping[str, Any]] | None
    """COCO detection results."""


def read_prediction(
    saved: SavedImage, *, ids: Sequence[int], index_of_id: Mapping[int, int]
) -> Labels:
    """The labels that a run gave to an image.

    Args:
        saved: the image's files and annotations.
        ids: the category ids of the run's vocabulary, whose order semantic maps count.
        index_of_id: the dataset's category index of each id.

    Raises:
        MissingDataError: a file is not there.
        UsageError: the files contradict each other, or have an unknown category.
    """
    panoptic: LabelRuns | None = None
    semantic: LabelRuns | None = None
    regions: tuple[Region, ...] = ()
    if (png := saved.panoptic_png) is not None:
        panoptic = read_id_runs(png)
        regions = segments_info_to_regions(
            saved.segments_info, index_of_id, png=png, where=saved.where
        )
        check_same_ids(panoptic, regions, png=png, where=saved.where)
    if (png := saved.semantic_png) is not None:
        category_of_value = {place: index_of_id[id_] for place, id_ in enumerate(ids)}
        category_of_value[VOID_CATEGORY] = VOID_CATEGORY
        semantic = runs_to_categories(
            read_label_runs(png), category_of_value, where=png, advice=_ADVICE
        )
    return Labels(
        panoptic=panoptic,
        regions=regions,
        semantic=semantic,
        instances=None if saved.instances is None else _masks(saved, index_of_id),
    )


def shrunk(labels: Labels, max_short_side_px: int) -> Labels:
    """A semantic map as a benchmark compares it that shrinks images and labels beforehand.

    Args:
        labels: semantic labels, of the image's own size or already of the benchmark's.
        max_short_side_px: the longest that a shorter side may be.
    """
    assert labels.semantic is not None
    size = shrunk_size(labels.semantic.size, max_short_side_px)
    return replace(labels, semantic=LabelRuns.of_map(nearest(labels.semantic.to_map(), size)))


def _masks(saved: SavedImage, index_of_id: Mapping[int, int]) -> tuple[InstanceMask, ...]:
    assert saved.instances is not None
    for result in saved.instances:
        if result["category_id"] not in index_of_id:
            raise UsageError(
                f"{saved.where}: an instance of image_id {result['image_id']} has the category_id "
                f"{result['category_id']}, which is no category. Expected ids of the vocabulary. "
                f"{_ADVICE}"
            )
    if not are_whole([result["segmentation"] for result in saved.instances]):
        for result in saved.instances:
            height, width = result["segmentation"]["size"]
            what = f"{saved.where}: the mask of an instance of image_id {result['image_id']}"
            check_rle(result["segmentation"], (height, width), what=what, advice=_ADVICE)
    return tuple(
        # Without the area: a result's box would give another one than its mask.
        InstanceMask(
            category=index_of_id[result["category_id"]],
            rle=result["segmentation"],
            score=result["score"],
        )
        for result in saved.instances
    )
