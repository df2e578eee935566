"""Samples on their way to the network: order, sharing out, and resuming change no pixel."""

import hashlib
import threading
from contextlib import closing
from itertools import islice

import numpy as np
import pytest

from odise_cli.data.training.loading import Preparation, load_samples
from odise_cli.data.training.nouns import caption_nouns
from odise_cli.data.training.samples import TrainingSample
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.errors import ImageError
from tests.data.images import noise

PREPARATION = Preparation(crop=(24, 32), words_of=caption_nouns)


class Drawn:
    """Ten images with a mask each; may be told to fail at one, and counts what is read."""

    categories = ()
    names = tuple("abcdefghij")

    def __init__(self, broken=None):
        self.broken = broken
        self.num_read = 0
        self._lock = threading.Lock()

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        with self._lock:
            self.num_read += 1
        if index == self.broken:
            raise ImageError(f"{self.names[index]}: is broken")
        size = (20 + index, 40 - index)
        masks = np.zeros((1, *size), bool)
        masks[0, ::2, 5:] = True
        return TrainingSample(
            name=self.names[index],
            image=noise(*size, seed=index),
            masks=masks,
            category_index=np.array([index]),
            captions=("A cat on a mat.", "Two dogs."),
        )


def fingerprint(prepared):
    sample = prepared.sample
    digest = hashlib.sha256(sample.image.tobytes() + sample.masks.tobytes()).hexdigest()
    return prepared.draw, sample.name, sample.category_index.tolist(), prepared.words, digest


def run(number, *, position=0, num_workers=0, rank=0, world_size=1, preparation=PREPARATION):
    stream = ShuffledStream(num_samples=10, seed=5, rank=rank, world_size=world_size)
    loading = load_samples(
        Drawn(),
        stream.starting_at(position),
        preparation,
        num_workers=num_workers,
        prefetch=4,
    )
    with closing(loading):
        return [fingerprint(prepared) for prepared in islice(loading, number)]


@pytest.mark.parametrize("num_workers", [1, 3])
def test_the_number_of_workers_changes_nothing(num_workers):
    assert run(25, num_workers=num_workers) == run(25)


def test_a_resumed_stream_changes_nothing():
    assert run(12, position=13, num_workers=2) == run(25)[13:]


def test_two_processes_see_what_one_sees():
    whole = run(24)
    for rank in range(2):
        assert run(12, rank=rank, world_size=2) == whole[rank::2]


def test_another_epoch_looks_different():
    seen = run(30)
    by_name = {name: {d for _, n, _, _, d in seen if n == name} for name in Drawn.names}
    assert {len(digests) for digests in by_name.values()} == {3}


def test_samples_have_the_size_of_the_crop_and_eight_words():
    with closing(
        load_samples(
            Drawn(),
            ShuffledStream(num_samples=10, seed=5).starting_at(0),
            PREPARATION,
            num_workers=2,
            prefetch=2,
        )
    ) as loading:
        for prepared in islice(loading, 20):
            assert prepared.sample.image.shape == (24, 32, 3)
            assert prepared.sample.masks.shape[1:] == (24, 32)
            assert len(prepared.words) == 8
            assert set(prepared.words) <= {"cat", "mat"} or set(prepared.words) == {"dog"}


def test_without_augmentation_every_epoch_looks_the_same():
    seen = run(20, preparation=Preparation(crop=(24, 32), is_augmented=False))
    assert {words for _, _, _, words, _ in seen} == {()}
    first, second = (sorted((n, c, d) for _, n, c, _, d in seen[e : e + 10]) for e in (0, 10))
    assert first == second


def test_a_sample_that_cannot_be_read_is_raised_at_its_turn():
    draws = list(islice(ShuffledStream(num_samples=10, seed=5).starting_at(0), 10))
    dataset = Drawn(broken=draws[3].index)
    loading = load_samples(dataset, draws, PREPARATION, num_workers=3, prefetch=6)
    names = [prepared.sample.name for prepared in islice(loading, 3)]
    assert names == [Drawn.names[draw.index] for draw in draws[:3]]
    with pytest.raises(ImageError, match=f"{Drawn.names[draws[3].index]}: is broken"):
        next(loading)


@pytest.mark.parametrize(("num_workers", "num_ahead"), [(0, 0), (1, 4), (3, 4)])
def test_an_endless_stream_is_read_no_further_than_asked(num_workers, num_ahead):
    dataset = Drawn()
    num_threads = threading.active_count()
    draws = ShuffledStream(num_samples=10, seed=5).starting_at(0)
    loading = load_samples(dataset, draws, PREPARATION, num_workers=num_workers, prefetch=4)
    with closing(loading):
        for _ in range(3):
            next(loading)
    assert 3 <= dataset.num_read <= 3 + num_ahead
    assert threading.active_count() == num_threads
