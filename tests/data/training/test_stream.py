"""The order of samples: every one once an epoch, the same however the work is shared out."""

from itertools import islice

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.training.stream import Draw, ShuffledStream

seeds = st.integers(0, 2**64)


def first(stream, number, *, position=0):
    return list(islice(stream.starting_at(position), number))


@given(num_samples=st.integers(1, 20), seed=seeds)
def test_an_epoch_has_every_sample_once(num_samples, seed):
    draws = first(ShuffledStream(num_samples=num_samples, seed=seed), 3 * num_samples)
    for epoch in range(3):
        part = draws[epoch * num_samples : (epoch + 1) * num_samples]
        assert {draw.epoch for draw in part} == {epoch}
        assert sorted(draw.index for draw in part) == list(range(num_samples))
    assert [draw.position for draw in draws] == list(range(3 * num_samples))


@given(num_samples=st.integers(1, 20), position=st.integers(0, 100), seed=seeds)
def test_a_stream_goes_on_from_its_position(num_samples, position, seed):
    stream = ShuffledStream(num_samples=num_samples, seed=seed)
    assert first(stream, 30, position=position) == first(stream, position + 30)[position:]


@given(
    num_samples=st.integers(1, 20),
    world_size=st.integers(1, 5),
    position=st.integers(0, 50),
    seed=seeds,
)
def test_the_shares_of_all_processes_are_the_whole(num_samples, world_size, position, seed):
    whole = first(
        ShuffledStream(num_samples=num_samples, seed=seed), 10 * world_size, position=position
    )
    for rank in range(world_size):
        share = ShuffledStream(num_samples=num_samples, seed=seed, rank=rank, world_size=world_size)
        assert first(share, 10, position=position) == whole[rank::world_size]


def test_orders_differ_between_epochs_and_seeds():
    orders = set()
    for seed in range(4):
        draws = first(ShuffledStream(num_samples=50, seed=seed), 200)
        orders |= {tuple(draw.index for draw in draws[e : e + 50]) for e in range(0, 200, 50)}
    assert len(orders) == 16


def test_every_place_of_an_epoch_is_equally_likely():
    starts = [first(ShuffledStream(num_samples=4, seed=s), 1)[0].index for s in range(2000)]
    # Binomial, n = 2000, p = 1/4: a standard deviation of 19.
    assert np.abs(np.bincount(starts) - 500).max() < 80


def test_random_numbers_follow_from_seed_epoch_and_index_alone():
    def numbers(seed=1, epoch=2, index=3, position=0):
        draw = Draw(position=position, epoch=epoch, index=index, seed=seed)
        return tuple(draw.rng().random(4))

    assert numbers() == numbers(position=77)
    different = {
        numbers(),
        numbers(seed=2),
        numbers(epoch=3),
        numbers(index=2),
        numbers(epoch=3, index=2),
        # Trailing zeros must count.
        numbers(index=0),
        numbers(epoch=0, index=0),
        numbers(epoch=0, index=2),
    }
    assert len(different) == 8
