"""The device: a model on it, batches of images in, results out.

One worker thread owns the device; everything that `segment`, `evaluate`, `train` and `export`
ask of a model goes through here. Knows no folders, data sets, options or progress bars.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from odise_cli.errors import TryAgainError
from odise_cli.host_memory import give_back_memory, keep_freed_memory
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.clip import text_length
from odise_cli.model.compiled import compile_diffusion
from odise_cli.model.cpu_kernels import CpuKernels, can_use_cpu_kernels
from odise_cli.model.network import Network
from odise_cli.model.odise import MaskPredictions, Odise
from odise_cli.model.precision import hold_frozen_in
from odise_cli.placement import Placement
from odise_cli.postprocess import SegmentOptions, to_segmentation
from odise_cli.run_ahead import begin_next_first, run_ahead, take_until
from odise_cli.structures import DecodedImage, ImageResult
from odise_cli.transfers import SideStream, Stopwatch, to_device
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.prompt import BARE, PHOTO
from odise_cli.vocabulary.vocabulary import Vocabulary

_QUEUE_SIZE = 2
_SENTENCES_PER_PASS = 32
_CPU_CROPS_PER_PASS = 8
_MUCH_MEMORY = 2**29
"""Bytes of weights from which a network leaves much behind. To look for it takes 30 ms, three times
a batch: with the bundled model a third of the time that a small picture takes."""
_DEVICE_CROPS_PER_PASS, _DEVICE_VAE_CHUNK = 16, 4
"""Enough to fill a device, and the memory's peak is that of so many, whatever the batch."""

Batch = TypeVar("Batch")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, kw_only=True)
class EmbeddedVocabulary:
    """A vocabulary ready for the device."""

    text: TextEmbeddings
    isthing_K: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """Images whose features the device was told to compute."""

    images_3HW: list[Tensor]
    pyramids: list[list[Tensor]]
    held: tuple[Tensor, ...]
    """The maps again: their memory is kept until another stream has read them."""
    ready: Any
    """Of `SideStream.now`, behind the features."""
    watch: Stopwatch


class Engine:
    """A model on a device.

    Args:
        model: modules in fp32 on the CPU, which are moved, and not to be used elsewhere
            afterwards; or exported graphs, which are where they were opened.
        placement: where and how it runs.
        is_learning: it is trained besides, so that all of it stays fp32.
    """

    def __init__(self, model: Network, placement: Placement, *, is_learning: bool = False) -> None:
        self.device = placement.device
        self.precision = placement.precision
        self.num_batch_halvings = 0
        self._images_per_pass: int | None = None
        self._side = SideStream(self.device)
        self._overlaps = self.device.type == "cuda"
        if placement.num_threads is not None:
            torch.set_num_threads(placement.num_threads)
        if self.device.type == "cpu":
            keep_freed_memory()
        elif self.device.type == "cuda" and placement.max_memory_bytes is not None:
            total = torch.cuda.get_device_properties(self.device).total_memory
            fraction = min(1.0, placement.max_memory_bytes / total)
            torch.cuda.set_per_process_memory_fraction(fraction, self.device)
        if self.device.type == "cuda" and self.precision == torch.float32:
            # By default convolutions keep ten bits of their inputs' mantissas.
            torch.backends.cudnn.allow_tf32 = False
        self.model = model
        if isinstance(model, Odise):
            # On a CPU the weights are mapped from their files, which takes no memory of its own.
            if self.precision != torch.float32 and not is_learning and self.device.type != "cpu":
                hold_frozen_in(model, self.precision)
            _move(model, self.device)
            if placement.compiles:
                compile_diffusion(model.diffusion)

    def embed_vocabulary(
        self, vocabulary: Vocabulary, *, cache: TextEmbeddingCache, encoder: str
    ) -> EmbeddedVocabulary:
        """Embed the words of a vocabulary, each template once, only what the cache lacks.

        Args:
            vocabulary: what to look for.
            cache: embeddings of earlier runs.
            encoder: what identifies the text encoder's weights in the cache.
        """
        config = self.model.config
        photo_ND = self._embed_words(vocabulary.words, PHOTO, cache, encoder)
        if config.supervision == "label":
            head_ND = self._embed_words(vocabulary.words, BARE, cache, encoder)
        else:
            head_ND = photo_ND
        training_words = frozenset(config.training_words)
        seen = [not training_words.isdisjoint(c.words) for c in vocabulary.categories]
        text = TextEmbeddings(
            head_ND=torch.from_numpy(head_ND),
            photo_ND=torch.from_numpy(photo_ND),
            category_N=torch.from_numpy(np.asarray(vocabulary.word_categories, np.int64)),
            seen_K=torch.tensor(seen),
        )
        things = np.array([category.isthing for category in vocabulary.categories])
        return EmbeddedVocabulary(text=text.to(self.device, torch.float32), isthing_K=things)

    def _embed_words(
        self, words: Sequence[str], template: str, cache: TextEmbeddingCache, encoder: str
    ) -> NDArray[np.float32]:
        @torch.inference_mode()
        def compute(sentences: list[str]) -> NDArray[np.float32]:
            # A sentence's batch has always the same shape: what else is missing from a cache
            # changes no bit.
            embeds_ND = np.empty((len(sentences), self.model.embed_dim), np.float32)
            lengths_N = np.array([text_length(sentence) for sentence in sentences])
            for length in np.unique(lengths_N):
                same_length = np.flatnonzero(lengths_N == length)
                for first in range(0, len(same_length), _SENTENCES_PER_PASS):
                    chunk = same_length[first : first + _SENTENCES_PER_PASS]
                    words = [sentences[i] for i in chunk]
                    padding = [""] * (_SENTENCES_PER_PASS - len(words))
                    with self._exact_arithmetic():
                        found = self.model.embed_words(words + padding)[: len(words)]
                    embeds_ND[chunk] = found.float().cpu().numpy()
            return embeds_ND

        return cache.get_or_compute(
            words,
            template=template,
            encoder=encoder,
            dim=self.model.embed_dim,
            compute=compute,
        )

    def segment(
        self,
        batches: Iterable[Batch],
        *,
        images_of: Callable[[Batch], Sequence[DecodedImage]],
        vocabulary: EmbeddedVocabulary,
        options: SegmentOptions,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[tuple[Batch, list[ImageResult]], None, None]:
        """Segment batches in their order, ahead of the consumer by at most two.

        The input is read, and the device used, in a thread of its own. When `should_stop` says
        so, the batch in hand is finished and no other begun. A consumer that leaves early must
        close the iterator.

        Args:
            batches: anything; read as needed.
            images_of: a batch's images, possibly none.
            vocabulary: what to look for.
            options: thresholds and wanted outputs.
            should_stop: asked before each batch.

        Raises:
            TryAgainError: if the device has no memory for a single image.
        """

        def begin(batch: Batch) -> _Begun | None:
            images = images_of(batch)
            # Where two batches at a time do not fit, one after the other may.
            is_worth_it = self._overlaps and len(images) > 0
            return self._attempt(self._begin, images) if is_worth_it else None

        def finish(batch: Batch, begun: _Begun | None) -> tuple[Batch, list[ImageResult]]:
            images, found = images_of(batch), None
            if begun is not None:
                found = self._attempt(self._finish, images, begun, vocabulary, options)
            if found is None:
                found = self.segment_batch(images, vocabulary, options)
            return batch, found

        wanted = take_until(batches, should_stop)
        if self._overlaps:
            results = begin_next_first(wanted, begin, finish)
        else:
            results = (finish(batch, None) for batch in wanted)
        return run_ahead(results, name="device", maxsize=_QUEUE_SIZE)

    def segment_batch(
        self,
        images: Sequence[DecodedImage],
        vocabulary: EmbeddedVocabulary,
        options: SegmentOptions,
    ) -> list[ImageResult]:
        """Segment images together; in halves, from now on, if the device's memory is short."""
        results: list[ImageResult] = []
        while len(results) < len(images):
            count = min(self._images_per_pass or len(images), len(images) - len(results))
            part = images[len(results) : len(results) + count]
            found = self._attempt(self._segment_together, part, vocabulary, options)
            if found is None:
                self._shrink_passes(part)
            else:
                results += found
        return results

    def _shrink_passes(self, images: Sequence[DecodedImage]) -> None:
        """Fewer images at a time from now on; of a single one, fewer crops."""
        crops = self.model.crops_per_pass if isinstance(self.model, Odise) else None
        if len(images) > 1:
            self._images_per_pass = (len(images) + 1) // 2
        elif isinstance(self.model, Odise) and crops is not None and crops > 1:
            self.model.crops_per_pass = crops // 2
            self.model.diffusion.vae_chunk = self.model.diffusion.multiple = 1
        else:
            raise TryAgainError(
                f"{images[0].record.path}: out of memory on {self.device} with a single image. "
                "Expected more free memory. Free some, or use --device cpu."
            )
        self.num_batch_halvings += 1

    def _attempt(
        self,
        compute: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result | None:
        """What it computes; None if memory is short."""
        try:
            return compute(*args, **kwargs)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside of the handler, whose traceback keeps the failed pass's tensors alive.
        self._overlaps = False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _segment_together(
        self,
        images: Sequence[DecodedImage],
        vocabulary: EmbeddedVocabulary,
        options: SegmentOptions,
    ) -> list[ImageResult]:
        return self._finish(images, self._begin(images), vocabulary, options)

    @torch.inference_mode()
    def _begin(self, images: Sequence[DecodedImage]) -> _Begun:
        """Tell the device to compute features; on CUDA, without waiting for it."""
        watch = Stopwatch(self.device)
        tensors = [self._to_device(image.resized_HW3) for image in images]
        with self._arithmetic():
            pyramids = self.model.begin(tensors)
        held = tuple(level for pyramid in pyramids for level in pyramid)
        if held:
            watch.mark("features")
        return _Begun(
            images_3HW=tensors,
            pyramids=pyramids,
            held=held,
            ready=self._side.now(),
            watch=watch,
        )

    @torch.inference_mode()
    def _finish(
        self,
        images: Sequence[DecodedImage],
        begun: _Begun,
        vocabulary: EmbeddedVocabulary,
        options: SegmentOptions,
    ) -> list[ImageResult]:
        """What becomes of features; waits for the device."""
        watch = begun.watch
        with self._side.after(begun.ready):
            watch.resume()
            with self._arithmetic():
                predictions = self.model(
                    begun.images_3HW,
                    vocabulary.text,
                    pyramids=begun.pyramids,
                    on_stage=watch.mark,
                )
            segmentations = [
                to_segmentation(prediction, image.size, vocabulary.isthing_K, options)
                for prediction, image in zip(predictions, images, strict=True)
            ]
            watch.mark("postprocess")
        shares = {stage: ms / len(images) for stage, ms in watch.stage_ms().items()}
        return [
            ImageResult(
                image=image,
                segmentation=segmentation,
                stage_ms={"decode": image.decode_ms, **shares},
            )
            for image, segmentation in zip(images, segmentations, strict=True)
        ]

    @torch.inference_mode()
    def predict(
        self, pixels: Sequence[NDArray[np.uint8]], vocabulary: EmbeddedVocabulary
    ) -> list[MaskPredictions]:
        """What the network says of images, before any threshold.

        Args:
            pixels: each [H, W, 3] RGB at the test-time size.
            vocabulary: what to look for.
        """
        tensors = [self._to_device(pixels_HW3) for pixels_HW3 in pixels]
        with self._arithmetic():
            return self.model(tensors, vocabulary.text)

    def _to_device(self, pixels_HW3: NDArray[np.uint8]) -> Tensor:
        """[3, H, W] in 0..1."""
        pixels = to_device(torch.from_numpy(pixels_HW3), self.device)
        return pixels.permute(2, 0, 1).float() / 255.0

    def _arithmetic(self) -> AbstractContextManager[object]:
        if self.precision != torch.float32:
            return torch.autocast(self.device.type, dtype=self.precision)
        return self._exact_arithmetic()

    def _exact_arithmetic(self) -> AbstractContextManager[object]:
        if self.device.type == "cpu" and can_use_cpu_kernels():
            return CpuKernels()
        return nullcontext()


def _move(model: Odise, device: torch.device) -> None:
    """Modules onto their device, in the form that suits it."""
    if device.type == "cpu":
        if sum(weight.nbytes for weight in model.parameters()) >= _MUCH_MEMORY:
            for module in (model.diffusion.unet.conv_in, model.pyramid, model.mask_generator):
                module.register_forward_pre_hook(lambda *_: give_back_memory())
        # Crop by crop the VAE is no slower here, and its activations are the memory's peak.
        model.diffusion.vae_chunk = 1
        model.crops_per_pass = _CPU_CROPS_PER_PASS
    else:
        model.diffusion.vae_chunk = _DEVICE_VAE_CHUNK
        model.crops_per_pass = _DEVICE_CROPS_PER_PASS
    model.to(device)
    if device.type == "cuda":
        # On a CPU it gains nothing and doubles the weights: they are mapped from their files.
        model.diffusion.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA and numpy have a class for it; PyTorch's allocator on a CPU only says so."""
    has_class = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return has_class or "can't allocate memory" in str(error)
