"""Which sample comes next: an endless, shuffled stream, of which every process takes its share.

Everything is a function of the position in the stream and the seed. A run is therefore resumed by
its position alone, and neither the number of workers nor of processes changes what a sample looks
like or which samples a joint batch holds. Knows numbers; does not know what a sample is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Final

import numpy as np

_ORDER: Final = 0
_SAMPLE: Final = 1
"""What random numbers are for: each purpose has a family of its own."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One place in the stream."""

    position: int
    """From 0, counted over all processes and epochs."""
    epoch: int
    index: int
    """The sample's number in its dataset."""
    seed: int

    def rng(self) -> np.random.Generator:
        """Random numbers of this sample in this epoch, from their beginning."""
        key = (_SAMPLE, self.epoch, self.index)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True, kw_only=True)
class ShuffledStream:
    """All samples in a new order each epoch, without end; an epoch ends within a batch.

    Of positions p, p + 1, … process r of w takes p + r, p + r + w, …: the shares of a joint batch
    add up to the batch that one process alone would have.
    """

    num_samples: int
    """At least 1."""
    seed: int
    """From 0; the same in all processes."""
    rank: int = 0
    """Of this process, from 0."""
    world_size: int = 1
    """Number of processes."""

    def starting_at(self, position: int) -> Iterator[Draw]:
        """This process's share of the stream from a position on.

        Args:
            position: the number of samples that all processes together have used; this and the
                seed are the whole state of the stream.
        """
        epoch, order = -1, np.empty(0, np.int64)
        for place in count(position + self.rank, self.world_size):
            if place // self.num_samples != epoch:
                epoch = place // self.num_samples
                order = self._order(epoch)
            index = int(order[place % self.num_samples])
            yield Draw(position=place, epoch=epoch, index=index, seed=self.seed)

    def _order(self, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_ORDER, epoch))
        return np.random.default_rng(sequence).permutation(self.num_samples)
