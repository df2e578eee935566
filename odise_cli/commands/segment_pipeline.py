"""Batches of a plan through decoder and model: what `odise segment` does on a device.

Knows no output folder, so that it can run wherever the device is. What travels there is a
`SegmentJob`: words and paths, no weight.
"""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from odise_cli.commands.model_source import ModelSource
from odise_cli.commands.network_source import ExportedSource
from odise_cli.config import SegmentConfig
from odise_cli.data.decode import decode_image
from odise_cli.data.loader import LoadedBatch, load_batches
from odise_cli.data.plan import Batch
from odise_cli.engine import Engine
from odise_cli.hub import cache_folder
from odise_cli.placement import Placement, place
from odise_cli.postprocess import SegmentOptions
from odise_cli.structures import ImageResult
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.vocabulary import Vocabulary
from odise_cli.writers.encoded import EncodedImage

_MAX_DECODERS = 8
_PREFETCHED_BATCHES = 2


@dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """What a process has to know to compute batches of a run."""

    config: SegmentConfig
    source: ModelSource | ExportedSource
    vocabulary: Vocabulary
    placement: Placement


class SegmentPipeline:
    """A model on a device, the vocabulary embedded by it, and decoders in front of it."""

    def __init__(self, job: SegmentJob) -> None:
        """Load the model.

        Raises:
            MissingDataError: a part of it is not there.
            CheckpointError: a part of it cannot be used.
        """
        config, source = job.config, job.source
        network = source.load(offline=config.offline, seed=config.seed)
        if config.alpha is not None:
            network.alpha = config.alpha
        if config.beta is not None:
            network.beta = config.beta
        self._engine = Engine(network, job.placement)
        self._vocabulary = self._engine.embed_vocabulary(
            job.vocabulary,
            cache=TextEmbeddingCache(cache_folder() / "text"),
            encoder=source.text_encoder_id(),
        )
        self._options = SegmentOptions(
            overlap_threshold=config.overlap_threshold,
            object_mask_threshold=config.object_mask_threshold,
            unknown_threshold=config.unknown_threshold,
            has_semantic="semantic" in config.write,
            has_instances="instances" in config.write,
        )
        self._decode = partial(
            decode_image,
            short_side=source.config.short_side,
            long_side=source.config.long_side,
            max_short_side=config.max_short_side,
            canvases=source.canvases,
        )

    @property
    def num_batch_halvings(self) -> int:
        """How often a batch was halved because the device ran out of memory."""
        return self._engine.num_batch_halvings

    def run(
        self, batches: Iterable[Batch], *, should_stop: Callable[[], bool] = lambda: False
    ) -> Generator[tuple[LoadedBatch, Sequence[ImageResult]], None, None]:
        """Decode and segment batches in their order; a consumer that leaves early closes it.

        Args:
            batches: read as needed.
            should_stop: asked before each batch; the batch in hand is always finished.

        Raises:
            TryAgainError: the device has no memory for a single image.
        """
        with (
            closing(
                load_batches(
                    batches,
                    decode=self._decode,
                    num_workers=min(_MAX_DECODERS, os.cpu_count() or 1),
                    prefetch=_PREFETCHED_BATCHES,
                )
            ) as loaded,
            closing(
                self._engine.segment(
                    loaded,
                    images_of=lambda batch: batch.images,
                    vocabulary=self._vocabulary,
                    options=self._options,
                    should_stop=should_stop,
                )
            ) as results,
        ):
            yield from results


class Pipeline(Protocol):
    """Batches in, results out, wherever the model is."""

    @property
    def num_batch_halvings(self) -> int:
        """How often a batch was halved because a device ran out of memory."""

    def run(
        self, batches: Iterable[Batch], *, should_stop: Callable[[], bool]
    ) -> Generator[tuple[LoadedBatch, Sequence[ImageResult | EncodedImage]], None, None]:
        """Decode and segment batches, in whatever order; a consumer that leaves early closes it."""


class Devices(Protocol):
    """Where pipelines run."""

    def place(self, config: SegmentConfig) -> Placement:
        """Settle what the configuration leaves open of device, precision and batch size."""

    def start(self, job: SegmentJob) -> Pipeline:
        """Load the model."""


class ThisMachine:
    """One device of this machine."""

    def place(self, config: SegmentConfig) -> Placement:
        """Settle what the configuration leaves open.

        Raises:
            UsageError: there is no such device here.
        """
        return place(
            config.device,
            config.precision,
            config.batch_size,
            max_memory_bytes=config.max_memory_bytes,
            compiles=config.compile,
        )

    def start(self, job: SegmentJob) -> SegmentPipeline:
        """Load the model.

        Raises:
            MissingDataError: a part of it is not there.
            CheckpointError: a part of it cannot be used.
        """
        return SegmentPipeline(job)
