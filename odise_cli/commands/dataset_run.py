"""The first half of `odise evaluate` with a model: `odise segment` over a dataset's images.

Nothing here segments: images, ids and words of a dataset become a `SegmentConfig`, and the
pipeline of `odise segment` does the rest, with its resuming, failures, signals and exit codes.
"""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from odise_cli.commands.dataset_source import DatasetSource, open_dataset
from odise_cli.commands.segment import plan_segment, run_segment
from odise_cli.config import EvaluateConfig, InferenceConfig, SegmentConfig
from odise_cli.data.sources import SourceList, listed_images
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.reports.segmentation import SegmentPlan, SegmentReport

_NUM_MISSING_SHOWN = 3


def plan_dataset_run(config: EvaluateConfig) -> SegmentPlan:
    """Say what `run_dataset` would do; writes nothing.

    Raises:
        OdiseError: what `run_dataset` would raise before its first image.
    """
    source = open_dataset(config)
    images = _images(config, source)
    return plan_segment(_segment_config(config, source, images), images=images)


def run_dataset(
    config: EvaluateConfig,
    *,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int, int], None],
    should_stop: Callable[[], bool],
) -> SegmentReport:
    """Predict every image of the dataset that has no result yet.

    Args:
        config: what was asked for, without `predictions`.
        on_notice: as `run_segment` has it.
        on_progress: as `run_segment` has it.
        should_stop: as `run_segment` has it.

    Raises:
        OdiseError: as `run_segment`, and where images of the dataset are not there.
    """
    source = open_dataset(config)
    images = _images(config, source)
    return run_segment(
        _segment_config(config, source, images),
        on_notice=on_notice,
        on_progress=on_progress,
        should_stop=should_stop,
        images=images,
    )


def _segment_config(
    config: EvaluateConfig, source: DatasetSource, images: SourceList
) -> SegmentConfig:
    how = {field.name: getattr(config, field.name) for field in fields(InferenceConfig)}
    return SegmentConfig(
        **how,
        sources=(str(images.root),),
        vocab=source.vocab,
        out=config.predictions_folder,
        write=source.dataset.outputs,
        max_short_side=source.dataset.max_short_side_px,
    )


def _images(config: EvaluateConfig, source: DatasetSource) -> SourceList:
    """The dataset's images in its order.

    Raises:
        MissingDataError: one of those that are asked for is not there; before hours of work.
        UsageError: nobody has said where they are.
    """
    dataset = source.dataset
    if dataset.images is None:
        raise UsageError(
            f"--images: was not given. Expected the folder of the images of --dataset "
            f"{source.name}, which the model shall see. Add --images, or score what is there "
            "with --predictions."
        )
    ids = dataset.image_ids
    images = listed_images(
        dataset.images,
        dataset.image_names,
        image_ids=None if ids is None else [ids[name] for name in dataset.image_names],
    )
    first, end = config.bounds(len(images.paths))
    wanted = images.paths[first:end]
    missing = [path for path in wanted if isinstance(path, Path) and not path.is_file()]
    if missing:
        shown = ", ".join(path.name for path in missing[:_NUM_MISSING_SHOWN])
        raise MissingDataError(
            f"{dataset.images}: {len(missing):,} of {end - first:,} images of {source.name} are "
            f"not there, such as {shown}. Expected every image that is to be scored. Complete "
            "the download (--self-check counts it), or take fewer with --limit."
        )
    return images
