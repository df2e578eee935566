"""Results to their folder by a few threads, a bounded number of them in flight.

Counts what came of each image. Everything but the writing itself happens in the caller's thread.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from odise_cli.data.loader import LoadedBatch
from odise_cli.errors import ImageError
from odise_cli.structures import FailedImage, ImageRecord, ImageResult
from odise_cli.writers.encoded import EncodedImage
from odise_cli.writers.run_folder import RunFolder

_NUM_THREADS = 2
_NUM_REMOTE_THREADS = 16
"""An object store answers after tens of milliseconds, to any number of requests at once."""
_IN_FLIGHT_PER_THREAD = 2
_NUM_REPORTED_FAILURES = 5


@dataclass(kw_only=True)
class Tally:
    """What has become of a run's images so far."""

    num_pending: int
    on_progress: Callable[[int, int, int], None]
    fail_fast: bool
    max_failures: int | None
    num_done: int = 0
    num_failed: int = 0
    num_segments: int = 0
    stage_ms: Counter[str] = field(default_factory=Counter)
    first_failures: list[tuple[str, str]] = field(default_factory=list)
    """(name, error) of the first few failures."""

    def __post_init__(self) -> None:
        """Show what is to be done before the first image is."""
        self.on_progress(0, 0, self.num_pending)

    @property
    def num_settled(self) -> int:
        """Images that are done or have failed."""
        return self.num_done + self.num_failed

    def add_result(self, image: EncodedImage, write_ms: float) -> None:
        """Count an image whose files are in place."""
        self.num_done += 1
        self.num_segments += image.num_segments
        self.stage_ms.update({**image.stage_ms, "write": write_ms})
        self.on_progress(self.num_done, self.num_failed, self.num_pending)

    def add_failure(self, failed: FailedImage) -> None:
        """Count an image without a result.

        Raises:
            ImageError: if the run shall end because of it.
        """
        self.num_failed += 1
        if len(self.first_failures) < _NUM_REPORTED_FAILURES:
            self.first_failures.append((failed.record.name, failed.error))
        self.on_progress(self.num_done, self.num_failed, self.num_pending)
        if self.fail_fast:
            raise ImageError(f"{failed.error} Stopped at it because of --fail-fast.")
        if self.max_failures is not None and self.num_failed > self.max_failures:
            raise ImageError(
                f"{failed.error} It is failure number {self.num_failed}. "
                f"Expected at most {self.max_failures} (--max-failures). "
                "Run again to go on from here."
            )


class ResultWriters:
    """A context manager: what was handed over is written when it ends, also by an exception."""

    def __init__(self, folder: RunFolder, tally: Tally) -> None:
        self._folder = folder
        self._tally = tally
        num_threads = _NUM_REMOTE_THREADS if folder.is_remote else _NUM_THREADS
        self._max_in_flight = num_threads * _IN_FLIGHT_PER_THREAD
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="write")
        self._in_flight: deque[Future[tuple[EncodedImage, float] | FailedImage]] = deque()

    def write(self, batch: LoadedBatch, results: Sequence[ImageResult | EncodedImage]) -> None:
        """Hand over what is wanted of a batch; waits while too many results are in flight.

        Raises:
            ImageError: if the run shall end because of a failure.
            OdiseError: if an earlier result could not be written.
        """
        for failed in batch.failures:
            self._folder.write_failure(failed)
            self._tally.add_failure(failed)
        for result in results:
            if _record(result).name in batch.pending:
                self._in_flight.append(self._threads.submit(self._write_one, result))
            while len(self._in_flight) > self._max_in_flight:
                self._settle_oldest()

    def _write_one(
        self, result: ImageResult | EncodedImage
    ) -> tuple[EncodedImage, float] | FailedImage:
        started = time.perf_counter()
        try:
            image = self._folder.write(result)
        except ImageError as error:
            failed = FailedImage(record=_record(result), error=str(error))
            self._folder.write_failure(failed)
            return failed
        return image, 1e3 * (time.perf_counter() - started)

    def _settle_oldest(self) -> None:
        outcome = self._in_flight.popleft().result()
        if isinstance(outcome, FailedImage):
            self._tally.add_failure(outcome)
        else:
            self._tally.add_result(*outcome)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True)
        while exc is None and self._in_flight:
            self._settle_oldest()


def _record(result: ImageResult | EncodedImage) -> ImageRecord:
    return result.image.record if isinstance(result, ImageResult) else result.record
