"""Accumulators fed by all cores: chunks of images in processes, merged in the order of the images.

Which images make a chunk depends on their order alone, so the figures are the same bits however
many processes there are. Knows neither datasets nor figures.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from copy import deepcopy
from typing import Any

from odise_cli.commands.evaluation_figures import Scorers
from odise_cli.errors import TryAgainError
from odise_cli.host_memory import keep_freed_memory
from odise_cli.structures import Labels

CHUNK = 32
"""Images that are scored together."""
MIN_CHUNKS = 64
"""Fewer are scored sooner than processes have started and opened the dataset."""
_CHUNKS_AHEAD = 2
"""Chunks under way for each process: bounds the memory."""
_MAX_PROCESSES = 16
_PR_SET_PDEATHSIG = 1

Read = Callable[[Any], tuple[Labels, Labels]]
"""Gives ground truth and prediction of an image, whatever an image is here."""


def score_images(
    images: Sequence[Any],
    scorers: Scorers,
    *,
    read: Read,
    open_reader: Callable[[], Read],
    on_scored: Callable[[int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Add all images to the accumulators.

    Args:
        images: what `read` takes; can be pickled.
        scorers: the accumulators, still empty.
        read: reads an image in this process.
        open_reader: makes what reads an image in another process; can be pickled.
        on_scored: told now and then how many images there are so far.
        should_stop: asked as often.

    Returns:
        Whether all were added; False if `should_stop` said so first.

    Raises:
        TryAgainError: a process was killed.
        OdiseError: what `read` and `open_reader` raise.
    """
    keep_freed_memory()
    starts, empty = range(0, len(images), CHUNK), deepcopy(scorers)
    if len(starts) < MIN_CHUNKS or (os.cpu_count() or 1) < 2:
        chunks = _score_here(images, empty, read)
    else:
        chunks = _score_in_processes(images, empty, open_reader)
    with closing(chunks):
        for start, chunk in zip(starts, chunks, strict=True):
            if should_stop():
                return False
            scorers.merge(chunk)
            on_scored(min(start + CHUNK, len(images)))
    return True


def _score_here(
    images: Sequence[Any], empty: Scorers, read: Read
) -> Generator[Scorers, None, None]:
    """The accumulators of every chunk, in order."""
    for start in range(0, len(images), CHUNK):
        yield _scored(images[start : start + CHUNK], start, deepcopy(empty), read)


def _score_in_processes(
    images: Sequence[Any], empty: Scorers, open_reader: Callable[[], Read]
) -> Generator[Scorers, None, None]:
    """The accumulators of every chunk, in order, from as many processes as there are cores."""
    num_processes = min(os.cpu_count() or 1, _MAX_PROCESSES)
    waiting: deque[Future[Scorers]] = deque()
    # Started anew, not forked: the threads of torch and of hotcoco do not survive a fork.
    pool = ProcessPoolExecutor(
        num_processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(empty, open_reader),
    )
    try:
        for start in range(0, len(images), CHUNK):
            waiting.append(pool.submit(_run_in_worker, images[start : start + CHUNK], start))
            if len(waiting) > _CHUNKS_AHEAD * num_processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TryAgainError(
            "A process that scores images was killed, likely for want of memory. Expected about "
            "1 GB for each core. Start the same command again with more memory."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _scored(images: Sequence[Any], start: int, scorers: Scorers, read: Read) -> Scorers:
    """The accumulators, which have seen these images; the first has the number `start`."""
    for number, image in enumerate(images, start=start):
        scorers.update(number, *read(image))
    return scorers


class _Worker:
    """What a process works with."""

    empty: Scorers
    open_reader: Callable[[], Read]
    read: Read | None = None


def _start_worker(empty: Scorers, open_reader: Callable[[], Read]) -> None:
    _Worker.empty, _Worker.open_reader = empty, open_reader
    keep_freed_memory()
    # Signals are the parent's to answer; if it is killed, so are its workers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_in_worker(images: Sequence[Any], start: int) -> Scorers:
    if _Worker.read is None:
        # Not when the process starts, where an error would break the pool unsaid.
        _Worker.read = _Worker.open_reader()
    return _scored(images, start, deepcopy(_Worker.empty), _Worker.read)
