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

CHUNK = 16
"""Images that are scored together."""
MIN_CHUNKS = 32
"""Fewer are scored sooner than helpers have started."""
_CHUNKS_AHEAD = 2
"""Chunks under way for each helper."""
_CHUNKS_WAITING = 256
"""Chunks that are scored and not merged, since one before them is not: bounds the memory."""
_MAX_PROCESSES = 16
_PR_SET_PDEATHSIG = 1

Read = Callable[[Any], tuple[Labels, Labels]]
"""Gives ground truth and prediction of an image, whatever an image is here."""


def score_images(
    images: Sequence[Any],
    scorers: Scorers,
    *,
    read: Read,
    on_scored: Callable[[int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Add all images to the accumulators.

    Args:
        images: what `read` takes; can be pickled.
        scorers: the accumulators, still empty.
        read: reads an image; can be pickled.
        on_scored: told now and then how many images there are so far.
        should_stop: asked as often.

    Returns:
        Whether all were added; False if `should_stop` said so first.

    Raises:
        TryAgainError: a process was killed.
        OdiseError: what `read` raises.
    """
    keep_freed_memory()
    starts, empty = range(0, len(images), CHUNK), deepcopy(scorers)
    if len(starts) < MIN_CHUNKS or (os.cpu_count() or 1) < 2:
        chunks = _score_alone(images, empty, read)
    else:
        chunks = _score_with_helpers(images, empty, read)
    with closing(chunks):
        for start, chunk in zip(starts, chunks, strict=True):
            if should_stop():
                return False
            scorers.merge(chunk)
            on_scored(min(start + CHUNK, len(images)))
    return True


def _score_alone(
    images: Sequence[Any], empty: Scorers, read: Read
) -> Generator[Scorers, None, None]:
    """The accumulators of every chunk, in order."""
    for start in range(0, len(images), CHUNK):
        yield _scored(images[start : start + CHUNK], start, deepcopy(empty), read)


def _score_with_helpers(
    images: Sequence[Any], empty: Scorers, read: Read
) -> Generator[Scorers, None, None]:
    """The same from as many processes as there are cores, of which this one is one."""
    num_helpers = min(os.cpu_count() or 1, _MAX_PROCESSES) - 1
    helped: deque[Future[Scorers]] = deque()
    waiting: deque[Future[Scorers] | Scorers] = deque()
    # Started anew, not forked: the threads of torch and of hotcoco do not survive a fork.
    pool = ProcessPoolExecutor(
        num_helpers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_helper,
        initargs=(empty, read),
    )
    try:
        for start in range(0, len(images), CHUNK):
            chunk = images[start : start + CHUNK]
            while helped and helped[0].done():
                helped.popleft()
            if len(helped) < _CHUNKS_AHEAD * num_helpers:
                helped.append(pool.submit(_run_in_helper, chunk, start))
                waiting.append(helped[-1])
            else:
                waiting.append(_scored(chunk, start, deepcopy(empty), read))
            while waiting and (_is_there(waiting[0]) or len(waiting) > _CHUNKS_WAITING):
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    except BrokenProcessPool as error:
        raise TryAgainError(
            "A process that scores images was killed, likely for want of memory. Expected about "
            "1 GB for each core. Start the same command again with more memory."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _is_there(chunk: Future[Scorers] | Scorers) -> bool:
    return isinstance(chunk, Scorers) or chunk.done()


def _result(chunk: Future[Scorers] | Scorers) -> Scorers:
    return chunk if isinstance(chunk, Scorers) else chunk.result()


def _scored(images: Sequence[Any], start: int, scorers: Scorers, read: Read) -> Scorers:
    """The accumulators, which have seen these images; the first has the number `start`."""
    for number, image in enumerate(images, start=start):
        scorers.update(number, *read(image))
    return scorers


class _Helper:
    """What a process works with."""

    empty: Scorers
    read: Read


def _start_helper(empty: Scorers, read: Read) -> None:
    # A function is no method, however it is kept.
    _Helper.empty, _Helper.read = empty, staticmethod(read)
    keep_freed_memory()
    # Signals are the parent's to answer; if it is killed, so are its helpers.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run_in_helper(images: Sequence[Any], start: int) -> Scorers:
    return _scored(images, start, deepcopy(_Helper.empty), _Helper.read)
