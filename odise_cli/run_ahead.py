"""Iterators that are ahead of whoever reads them, and what becomes of the rest of them then.

Knows threads; what is iterated over is the caller's.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _End:
    """The last thing that a thread has to say."""

    error: BaseException | None


def run_ahead(items: Iterator[Item], *, name: str, maxsize: int) -> Generator[Item, None, None]:
    """Run an iterator in a thread of its own, ahead of the consumer by at most `maxsize` items."""
    ready: queue.Queue[Item | _End] = queue.Queue(maxsize)
    is_abandoned = threading.Event()

    def put(item: Item | _End) -> None:
        while not is_abandoned.is_set():
            with suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        error = None
        try:
            for item in items:
                put(item)
                if is_abandoned.is_set():
                    break
        except BaseException as caught:  # the consumer raises it
            error = caught
        put(_End(error))

    worker = threading.Thread(target=work, name=name)
    worker.start()
    try:
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        is_abandoned.set()
        worker.join()


def take_until(items: Iterable[Item], should_stop: Callable[[], bool]) -> Iterator[Item]:
    """The items until it says so, which is asked when the next one is there."""
    for item in items:
        if should_stop():
            return
        yield item


def begin_next_first(
    items: Iterable[Item],
    begin: Callable[[Item], Begun],
    finish: Callable[[Item, Begun], Result],
) -> Iterator[Result]:
    """Finish each item only when the next one has begun, so that a device never runs dry.

    An error of the input or of `begin` is raised after the item that had begun is finished.
    """
    waiting: tuple[Item, Begun] | None = None
    try:
        for item in items:
            begun = begin(item)
            if waiting is not None:
                yield finish(*waiting)
            waiting = item, begun
    except Exception:
        if waiting is not None:
            yield finish(*waiting)
        raise
    if waiting is not None:
        yield finish(*waiting)
