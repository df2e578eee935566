import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odise_cli.data.loader import LoadedBatch, load_batches, load_in_order
from odise_cli.data.plan import Batch
from odise_cli.errors import ImageError
from odise_cli.structures import DecodedImage, ImageRecord


def record(name: str) -> ImageRecord:
    return ImageRecord(path=Path(name), name=name, stem=name, image_id=1)


def batch(names: str, pending: str | None = None, failed_before: str = "") -> Batch:
    """One letter an image; all are pending if not said otherwise."""
    return Batch(
        records=tuple(record(name) for name in names),
        pending=frozenset(names if pending is None else pending),
        failed_before=frozenset(failed_before),
    )


def batches_of(num_batches: int, size: int) -> list[Batch]:
    return [
        Batch(
            records=tuple(record(f"{b}/{i}") for i in range(size)),
            pending=frozenset(f"{b}/{i}" for i in range(size)),
            failed_before=frozenset(),
        )
        for b in range(num_batches)
    ]


class Decoder:
    """Makes small images out of names; capital letters are broken."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.images: list[weakref.ref[DecodedImage]] = []
        self._lock = threading.Lock()

    def __call__(self, record: ImageRecord) -> DecodedImage:
        with self._lock:
            self.started.append(record.name)
        if record.name.isupper():
            raise ImageError(f"{record.name}: is broken")
        pixels = np.zeros((1, 1, 3), np.uint8)
        image = DecodedImage(record=record, pixels_HW3=pixels, resized_HW3=pixels, decode_ms=0.0)
        with self._lock:
            self.images.append(weakref.ref(image))
        return image

    @property
    def num_alive(self) -> int:
        """Decoded images that somebody still holds."""
        return sum(image() is not None for image in self.images)


def load(*batches: Batch, decoder: Decoder | None = None) -> list[LoadedBatch]:
    loading = load_batches(batches, decode=decoder or Decoder(), num_workers=2, prefetch=2)
    return list(loading)


def image_names(loaded: LoadedBatch) -> str:
    return "".join(image.record.name for image in loaded.images)


def failure_names(loaded: LoadedBatch) -> str:
    return "".join(failure.record.name for failure in loaded.failures)


def decode_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")]


# --- what comes out


def test_nothing_to_load() -> None:
    assert load() == []


def test_images_failures_and_pending() -> None:
    (loaded,) = load(batch("aBcD", pending="acD"))
    assert image_names(loaded) == "ac"
    assert [(failure.record.name, failure.error) for failure in loaded.failures] == [
        ("D", "D: is broken")  # B was only company
    ]
    assert loaded.pending == {"a", "c", "D"}


def test_company_is_decoded_for_the_one_that_is_wanted() -> None:
    (loaded,) = load(batch("abc", pending="b"))
    assert image_names(loaded) == "abc"


def test_earlier_failures_that_fail_again_cost_nothing_else() -> None:
    decoder = Decoder()
    (loaded,) = load(batch("aBcD", pending="BD", failed_before="BD"), decoder=decoder)
    assert image_names(loaded) == ""
    assert failure_names(loaded) == "BD"
    assert sorted(decoder.started) == ["B", "D"]


def test_earlier_failure_that_is_mended_gets_its_company() -> None:
    decoder = Decoder()
    (loaded,) = load(batch("aBcd", pending="Bc", failed_before="Bc"), decoder=decoder)
    assert image_names(loaded) == "acd"
    assert failure_names(loaded) == "B"
    assert sorted(decoder.started) == ["B", "a", "c", "d"]


def test_new_image_beside_an_earlier_failure() -> None:
    (loaded,) = load(batch("aBc", pending="aB", failed_before="B"))
    assert image_names(loaded) == "ac"
    assert failure_names(loaded) == "B"


def test_company_without_a_wanted_image_is_not_handed_out() -> None:
    (loaded,) = load(batch("aB", pending="B"))
    assert image_names(loaded) == ""
    assert failure_names(loaded) == "B"


@settings(deadline=None, max_examples=50)
@given(
    num_batches=st.integers(0, 8),
    size=st.integers(1, 4),
    num_workers=st.integers(1, 5),
    prefetch=st.integers(1, 4),
    delays=st.lists(st.integers(0, 2), min_size=32, max_size=32),
)
def test_order_does_not_depend_on_timing(
    num_batches: int, size: int, num_workers: int, prefetch: int, delays: list[int]
) -> None:
    decoder = Decoder()

    def decode(record: ImageRecord) -> DecodedImage:
        number, position = map(int, record.name.split("/"))
        time.sleep(delays[number * size + position] / 1000)
        return decoder(record)

    loading = load_batches(
        batches_of(num_batches, size), decode=decode, num_workers=num_workers, prefetch=prefetch
    )
    names = [[image.record.name for image in loaded.images] for loaded in loading]
    assert names == [[f"{b}/{i}" for i in range(size)] for b in range(num_batches)]


# --- how far ahead


def wait_until_idle(decoder: Decoder) -> None:
    """Until no decode has started for 50 ms."""
    num_started = -1
    while num_started != len(decoder.started):
        num_started = len(decoder.started)
        time.sleep(0.05)


@pytest.mark.parametrize(("prefetch", "num_workers"), [(1, 1), (1, 8), (2, 2), (3, 8)])
def test_look_ahead_is_bounded_and_used(prefetch: int, num_workers: int) -> None:
    size = 3
    num_batches = 8
    decoder = Decoder()
    num_pulled = 0

    def pulled() -> Iterator[Batch]:
        nonlocal num_pulled
        for planned in batches_of(num_batches, size):
            num_pulled += 1
            yield planned

    loading = load_batches(pulled(), decode=decoder, num_workers=num_workers, prefetch=prefetch)
    num_taken = 0
    for loaded in loading:
        num_taken += 1
        wait_until_idle(decoder)
        num_ahead = min(prefetch, num_batches - num_taken)
        assert len(decoder.started) == (num_taken + num_ahead) * size
        assert num_pulled == num_taken + num_ahead
        assert len(loaded.images) == size
        assert decoder.num_alive == (1 + num_ahead) * size  # earlier ones are gone
    assert num_taken == num_batches


def test_never_more_than_the_look_ahead_at_any_moment() -> None:
    size = 2
    prefetch = 2
    decoder = Decoder()
    num_taken = 0
    most = 0

    def decode(record: ImageRecord) -> DecodedImage:
        nonlocal most
        image = decoder(record)
        # The batch being handed over counts as taken: the consumer is asking for it.
        most = max(most, len(decoder.started) - (num_taken + 1) * size)
        return image

    batches = batches_of(50, size)
    for _ in load_batches(batches, decode=decode, num_workers=4, prefetch=prefetch):
        num_taken += 1
    assert 0 < most <= prefetch * size


def test_a_batch_is_let_go_before_the_next_one_is_waited_for() -> None:
    decoder = Decoder()
    is_asked_for = threading.Event()
    is_let_go = []

    def decode(record: ImageRecord) -> DecodedImage:
        if record.name == "1/0":
            is_asked_for.wait(timeout=10)
            end = time.monotonic() + 1
            while decoder.num_alive and time.monotonic() < end:
                time.sleep(0.01)
            is_let_go.append(decoder.num_alive == 0)
        return decoder(record)

    loading = load_batches(batches_of(2, 1), decode=decode, num_workers=1, prefetch=1)
    next(loading)
    is_asked_for.set()
    next(loading)
    loading.close()
    assert is_let_go == [True]


# --- the end


def test_no_thread_is_left_after_the_last_batch() -> None:
    load(*batches_of(3, 2))
    assert decode_threads() == []


def test_no_thread_is_left_when_the_consumer_stops_early() -> None:
    decoder = Decoder()
    batches = batches_of(100, 2)
    with closing(load_batches(batches, decode=decoder, num_workers=3, prefetch=2)) as loading:
        next(loading)
        assert decode_threads() != []
    assert decode_threads() == []
    assert len(decoder.started) <= 6


def test_no_thread_is_left_when_the_consumer_raises() -> None:
    def consume() -> None:
        batches = batches_of(100, 2)
        with closing(load_batches(batches, decode=Decoder(), num_workers=3, prefetch=2)) as loading:
            for _ in loading:
                raise RuntimeError("consumer")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert decode_threads() == []


def test_closing_does_not_wait_for_images_that_have_not_begun() -> None:
    has_begun, release = threading.Event(), threading.Event()
    decoder = Decoder()

    def decode(record: ImageRecord) -> DecodedImage:
        if record.name != "0/0":
            has_begun.set()
            release.wait(timeout=10)
        return decoder(record)

    loading = load_batches(batches_of(3, 1), decode=decode, num_workers=1, prefetch=2)
    next(loading)
    assert has_begun.wait(timeout=10)
    threading.Timer(0.5, release.set).start()
    loading.close()
    assert decode_threads() == []
    assert decoder.started == ["0/0", "1/0"]


def test_bugs_are_raised_where_the_batch_is_due() -> None:
    def decode(record: ImageRecord) -> DecodedImage:
        if record.name == "b":
            raise ZeroDivisionError("a bug")
        return Decoder()(record)

    loading = load_batches([batch("a"), batch("b")], decode=decode, num_workers=2, prefetch=2)
    assert image_names(next(loading)) == "a"
    with pytest.raises(ZeroDivisionError, match="a bug"):
        next(loading)
    assert decode_threads() == []


@pytest.mark.parametrize("num_workers", [0, 1, 3])
def test_a_loaded_item_is_let_go_before_the_next_one_is_waited_for(num_workers: int) -> None:
    decoder = Decoder()
    records = [record(name) for name in "abcdef"]
    loading = load_in_order(records, decoder, num_workers=num_workers, prefetch=2)
    for name, image in zip("abcdef", loading, strict=True):
        assert image.record.name == name
        assert decoder.num_alive <= 3
        del image
    assert decoder.num_alive == 0
