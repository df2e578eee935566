"""Decoded batches and samples, in order, a bounded number of them ahead of the consumer.

Knows threads; what decoding is, and what becomes of a batch, is the caller's.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from odise_cli.data.plan import Batch
from odise_cli.errors import ImageError
from odise_cli.structures import DecodedImage, FailedImage, ImageRecord

Outcome = DecodedImage | FailedImage
Futures = dict[str, Future[Outcome]]
_Item = TypeVar("_Item")
_Loaded = TypeVar("_Loaded")


@dataclass(frozen=True, kw_only=True)
class LoadedBatch:
    """A batch in memory, ready for the model."""

    images: tuple[DecodedImage, ...]
    """In the batch's order, what could be decoded; empty if no wanted image could."""
    failures: tuple[FailedImage, ...]
    """Wanted images that could not be decoded."""
    pending: frozenset[str]
    """Names of the images whose results are wanted, failures among them."""


def load_batches(
    batches: Iterable[Batch],
    *,
    decode: Callable[[ImageRecord], DecodedImage],
    num_workers: int,
    prefetch: int,
) -> Generator[LoadedBatch, None, None]:
    """Decode batches in threads; yield them in their order.

    While the consumer works on one batch, the next `prefetch` ones are decoded, and no more: that
    is what bounds the memory. An `ImageError` becomes a failure if the image is wanted, and is
    passed over if it is not. Any other exception of `decode` is raised here.

    A batch of which only earlier failures are wanted is decoded from these; if they fail again,
    its other images are left alone, so that a corrupt file costs a repeated run next to nothing.

    A consumer that may stop early closes the generator (`contextlib.closing`); that waits for the
    images being decoded and ends the threads.

    Args:
        batches: Read as needed, never further than `prefetch` ahead.
        decode: Called in several threads at once.
        num_workers: Number of threads, at least 1.
        prefetch: Batches decoded ahead, at least 1.
    """
    with ThreadPoolExecutor(num_workers, thread_name_prefix="decode") as executor:

        def submit(records: Iterable[ImageRecord]) -> Futures:
            return {r.name: executor.submit(_decode_or_fail, decode, r) for r in records}

        started = ((batch, submit(_deciding_records(batch))) for batch in batches)
        try:
            yield from _finish_in_order(started, lambda item: _finish(*item, submit), prefetch)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def load_in_order(
    items: Iterable[_Item],
    load: Callable[[_Item], _Loaded],
    *,
    num_workers: int,
    prefetch: int,
) -> Generator[_Loaded, None, None]:
    """Load items in threads; yield what they became in their order.

    What `load` raises is raised here, when it is the item's turn. `items` may be endless; a
    consumer that stops early closes the generator, as for `load_batches`.

    Args:
        items: Read as needed, never further than `prefetch` ahead.
        load: Called in several threads at once.
        num_workers: Number of threads; 0 loads in the consumer's, when it asks.
        prefetch: Items loaded ahead, at least 1.
    """
    if not num_workers:
        for item in items:
            yield load(item)
        return
    with ThreadPoolExecutor(num_workers, thread_name_prefix="load") as executor:
        started = (executor.submit(load, item) for item in items)
        try:
            yield from _finish_in_order(started, lambda future: future.result(), prefetch)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _finish_in_order(
    started: Iterator[_Item], finish: Callable[[_Item], _Loaded], num_ahead: int
) -> Generator[_Loaded, None, None]:
    """Finish items in their order, with `num_ahead` of them started meanwhile and no more."""
    ahead = deque(islice(started, num_ahead))
    while ahead:
        finished = finish(ahead.popleft())
        ahead.extend(islice(started, 1))
        yield finished
        # Otherwise it would live on here while the next one is waited for.
        del finished


def _decode_or_fail(decode: Callable[[ImageRecord], DecodedImage], record: ImageRecord) -> Outcome:
    try:
        return decode(record)
    except ImageError as error:
        return FailedImage(record=record, error=str(error))


def _deciding_records(batch: Batch) -> tuple[ImageRecord, ...]:
    """The images that show whether the batch is worth decoding."""
    if batch.pending != batch.failed_before:
        return batch.records
    return tuple(record for record in batch.records if record.name in batch.pending)


def _finish(
    batch: Batch, futures: Futures, submit: Callable[[Iterable[ImageRecord]], Futures]
) -> LoadedBatch:
    """Wait for the images of a batch and decode those that were held back."""
    outcomes = {name: future.result() for name, future in futures.items()}
    is_needed = any(isinstance(outcomes[name], DecodedImage) for name in batch.pending)
    if is_needed:
        rest = submit(record for record in batch.records if record.name not in outcomes)
        outcomes |= {name: future.result() for name, future in rest.items()}
    in_order = [outcomes[record.name] for record in batch.records if record.name in outcomes]
    images = tuple(outcome for outcome in in_order if isinstance(outcome, DecodedImage))
    failures = tuple(outcome for outcome in in_order if isinstance(outcome, FailedImage))
    return LoadedBatch(
        images=images if is_needed else (),
        failures=tuple(f for f in failures if f.record.name in batch.pending),
        pending=batch.pending,
    )
