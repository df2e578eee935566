"""Prepared samples as tensors, in batches of one process.

Knows which places in the stream are a pass's; does not know where samples come from.
"""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice

import torch

from odise_cli.data.training.loading import Preparation, PreparedSample, load_samples
from odise_cli.data.training.samples import TrainingDataset
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.training.targets import MaskTargets, TrainingBatch

_PASSES_AHEAD = 2


def open_batches(
    dataset: TrainingDataset,
    stream: ShuffledStream,
    preparation: Preparation,
    *,
    first: int,
    images_per_pass: int,
    num_workers: int,
) -> Iterator[TrainingBatch]:
    """This process's batches from the `first`-th pass of the run on, without end.

    Args:
        dataset: what the stream's indices count.
        stream: this process's share of the run's order.
        preparation: what is done to each sample; without words the supervision is by label.
        first: counts the passes of the run, from 0.
        images_per_pass: of this process.
        num_workers: threads that read ahead.

    Raises:
        OdiseError: a sample cannot be read; when it is its turn.
    """
    samples = load_samples(
        dataset,
        stream.starting_at(first * images_per_pass * stream.world_size),
        preparation,
        num_workers=num_workers,
        prefetch=_PASSES_AHEAD * images_per_pass,
    )
    with closing(samples):
        while True:
            yield _to_batch(list(islice(samples, images_per_pass)))


def _to_batch(prepared: list[PreparedSample]) -> TrainingBatch:
    canvases = [
        torch.from_numpy(item.sample.image).permute(2, 0, 1).float() / 255.0 for item in prepared
    ]
    return TrainingBatch(
        canvases_B3HW=torch.stack(canvases),
        targets=[_to_targets(item) for item in prepared],
        names=tuple(item.sample.name for item in prepared),
    )


def _to_targets(item: PreparedSample) -> MaskTargets:
    categories_N = torch.from_numpy(item.sample.category_index)
    return MaskTargets(
        masks_NHW=torch.from_numpy(item.sample.masks),
        category_N=None if item.words else categories_N,
        words=item.words or None,
    )
