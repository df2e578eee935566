"""From places in the stream to samples that are ready for the network, read ahead in threads.

Decoding and resizing are Pillow's and numpy's, which let other threads run meanwhile. Knows
datasets and augmentation; does not know batches or tensors.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass

from odise_cli.data.loader import load_in_order
from odise_cli.data.training.augment import (
    MAX_SCALE,
    MIN_SCALE,
    draw_view,
    fitted_view,
    look_through,
)
from odise_cli.data.training.nouns import NUM_WORDS, draw_words
from odise_cli.data.training.samples import TrainingDataset, TrainingSample
from odise_cli.data.training.stream import Draw


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is done to every sample before the network sees it."""

    crop: tuple[int, int]
    """(height, width) of what the network sees, pixels."""
    is_augmented: bool = True
    """Flip, jitter and crop at random; without, the image is fitted into the crop."""
    min_scale: float = MIN_SCALE
    max_scale: float = MAX_SCALE
    num_words: int = NUM_WORDS
    words_of: Callable[[str], Sequence[str]] | None = None
    """What finds the words of a caption; None draws none, for label supervision."""


@dataclass(frozen=True, kw_only=True)
class PreparedSample:
    """A sample as the network sees it."""

    draw: Draw
    """Its place in the stream."""
    sample: TrainingSample
    """Of the crop's size."""
    words: tuple[str, ...]
    """Drawn from one of its captions, all "" where that has none; () if none are to be drawn."""


def load_samples(
    dataset: TrainingDataset,
    draws: Iterable[Draw],
    preparation: Preparation,
    *,
    num_workers: int,
    prefetch: int,
) -> Generator[PreparedSample, None, None]:
    """Read and prepare samples in threads; yield them in the order of the draws.

    What comes out follows from the draws alone, whatever the number of workers. A consumer that
    stops early closes the generator (`contextlib.closing`).

    Args:
        dataset: read by several threads at once.
        draws: read as needed, never further than `prefetch` ahead; may be endless.
        preparation: what is done to each sample.
        num_workers: number of threads; 0 reads when the consumer asks.
        prefetch: samples ready ahead of the consumer, at least 1; bounds the memory.

    Raises:
        OdiseError: a sample cannot be read; raised when it is its turn.
    """

    def load(draw: Draw) -> PreparedSample:
        return prepare(dataset[draw.index], draw, preparation)

    return load_in_order(draws, load, num_workers=num_workers, prefetch=prefetch)


def prepare(sample: TrainingSample, draw: Draw, preparation: Preparation) -> PreparedSample:
    """One sample as the network sees it; all that is random follows from the draw."""
    rng = draw.rng()
    size = (sample.image.shape[0], sample.image.shape[1])
    if preparation.is_augmented:
        view = draw_view(
            size,
            preparation.crop,
            rng,
            min_scale=preparation.min_scale,
            max_scale=preparation.max_scale,
        )
    else:
        view = fitted_view(size, preparation.crop)
    words: tuple[str, ...] = ()
    if preparation.words_of is not None:
        words = draw_words(
            sample.captions,
            rng,
            num_words=preparation.num_words,
            words_of=preparation.words_of,
        )
    return PreparedSample(draw=draw, sample=look_through(sample, view), words=words)
