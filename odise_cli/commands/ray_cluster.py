"""`odise segment --engine ray`: the pipeline of one machine in actors of a Ray cluster.

Each actor owns a device and loads the model once. What travels to it are names and paths of
images, which it reads by itself; what comes back are bytes to be written. The process that was
started by the user writes all files, so that a folder is what it is without Ray.

Ray is imported where it is used: it is an extra, and takes a second.
"""

import math
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.commands.segment_pipeline import SegmentJob, SegmentPipeline, ThisMachine
from odise_cli.config import SegmentConfig
from odise_cli.data.loader import LoadedBatch, load_in_order
from odise_cli.data.plan import Batch
from odise_cli.errors import ImageError, MissingDataError, OdiseError, TryAgainError, UsageError
from odise_cli.placement import Placement
from odise_cli.structures import FailedImage, ImageResult
from odise_cli.writers.encoded import EncodedImage, encode_image

_IMAGES_PER_TASK = 64
"""An actor's decoders start anew with each task, and its results come when the task is done."""
_TASKS_PER_ACTOR = 4
"""At least, where there are enough batches: an actor that is slow must not be left with most."""
_NUM_ENCODERS = 2
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What an actor says of one batch."""

    pending: frozenset[str]
    failures: tuple[FailedImage, ...]
    images: tuple[EncodedImage, ...]
    num_batch_halvings: int
    """Since the batch before."""


class RayCluster:
    """A cluster that this process is connected to; made by `open_cluster`."""

    def __init__(self, num_actors: int | None) -> None:
        import ray

        self._resources = ray.cluster_resources()
        self._num_actors = num_actors

    def place(self, config: SegmentConfig) -> Placement:
        """Settle what the configuration leaves open, where the devices are.

        Raises:
            UsageError: the cluster has no such device.
        """
        import ray

        if config.device == "cpu" or not self._resources.get("GPU"):
            return ThisMachine().place(config)
        remote = ray.remote(num_gpus=1, num_cpus=0)(_place)
        placement: Placement = pickle.loads(ray.get(remote.remote(config)))
        return placement

    def start(self, job: SegmentJob) -> "RayPipeline":
        """Say how many actors there shall be; they start with the first batch."""
        num_cpus = self._resources.get("CPU", 1.0)
        if job.placement.device.type == "cuda":
            num_actors = self._num_actors or int(self._resources["GPU"])
            return RayPipeline(job, num_actors, {"num_gpus": 1, "num_cpus": 0})
        num_actors = self._num_actors or max(1, int(num_cpus) // 2)
        # Some of a core stays free: where actors take all of them, Ray's own tasks never start.
        share = 0.75 * num_cpus / num_actors
        return RayPipeline(job, num_actors, {"num_cpus": math.floor(share) or share})


class RayPipeline:
    """Batches through actors; `run` gives them back in the order in which they are done."""

    def __init__(self, job: SegmentJob, num_actors: int, resources: dict[str, float]) -> None:
        self.num_batch_halvings = 0
        self._job = job
        self._num_actors = num_actors
        self._resources = resources

    def run(
        self, batches: Iterable[Batch], *, should_stop: Callable[[], bool]
    ) -> Generator[tuple[LoadedBatch, Sequence[EncodedImage]], None, None]:
        """Segment batches; what actors have in hand when it stops is done again by the next run.

        Args:
            batches: all of them are listed here, names and paths.
            should_stop: asked after each batch.

        Raises:
            TryAgainError: a device has no memory for a single image, or the cluster is gone.
            OdiseError: whatever else an actor met that ends a run.
        """
        import ray.data

        # Ours is the progress that a user sees.
        ray.data.DataContext.get_current().enable_progress_bars = False
        rows = [{"batch": pickle.dumps(batch)} for batch in batches]
        per_task = max(1, _IMAGES_PER_TASK // self._job.placement.batch_size)
        num_tasks = max(
            math.ceil(len(rows) / per_task), min(len(rows), self._num_actors * _TASKS_PER_ACTOR)
        )
        # Ray Data makes actors anew that have died, and gives them their tasks again.
        outcomes = ray.data.from_items(rows, override_num_blocks=num_tasks).map_batches(
            _Actor,
            fn_constructor_args=(pickle.dumps(self._job),),
            batch_size=None,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=self._num_actors),
            **self._resources,
        )
        try:
            for row in outcomes.iter_rows():
                outcome = pickle.loads(row["outcome"])
                if isinstance(outcome, OdiseError):
                    raise outcome
                self.num_batch_halvings += outcome.num_batch_halvings
                loaded = LoadedBatch(images=(), failures=outcome.failures, pending=outcome.pending)
                yield loaded, outcome.images
                if should_stop():
                    return
        except ray.exceptions.RayError as error:
            raise TryAgainError(
                f"--engine ray: {_first_line(error)}. Expected a cluster that stays. Everything "
                "that was finished is safe. Look after the cluster, then start the same command "
                "again."
            ) from error


class _Actor:
    """A model on a device; Ray makes one, and makes it anew where a process dies."""

    def __init__(self, pickled_job: bytes) -> None:
        self._job: SegmentJob = pickle.loads(pickled_job)
        self._pipeline: SegmentPipeline | None = None

    def __call__(self, rows: dict[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        # Errors are rows: raised, they would come back as texts of Ray's.
        try:
            # Not when it is made: Ray makes actors anew whose making fails.
            if self._pipeline is None:
                self._pipeline = SegmentPipeline(self._job)
            for outcome in self._outcomes(self._pipeline, map(pickle.loads, rows["batch"])):
                yield _row(outcome)
        except (UsageError, MissingDataError, TryAgainError) as error:
            yield _row(error)

    def _outcomes(self, pipeline: SegmentPipeline, batches: Iterable[Batch]) -> Iterator[_Outcome]:
        num_halvings = pipeline.num_batch_halvings
        encode = partial(
            _encode,
            outputs=self._job.config.write,
            job=self._job,
        )
        with (
            closing(pipeline.run(batches)) as results,
            closing(
                load_in_order(results, encode, num_workers=_NUM_ENCODERS, prefetch=_NUM_ENCODERS)
            ) as encoded,
        ):
            for batch, images, failures in encoded:
                yield _Outcome(
                    pending=batch.pending,
                    failures=(*batch.failures, *failures),
                    images=images,
                    num_batch_halvings=pipeline.num_batch_halvings - num_halvings,
                )
                num_halvings = pipeline.num_batch_halvings


def _encode(
    item: tuple[LoadedBatch, Sequence[ImageResult]], *, outputs: Sequence[str], job: SegmentJob
) -> tuple[LoadedBatch, tuple[EncodedImage, ...], list[FailedImage]]:
    """The wanted images of a batch as bytes, and those that fit no format."""
    batch, results = item
    images, failures = [], []
    for result in results:
        if result.image.record.name not in batch.pending:
            continue
        try:
            images.append(
                encode_image(result, outputs=outputs, categories=job.vocabulary.categories)
            )
        except ImageError as error:
            failures.append(FailedImage(record=result.image.record, error=str(error)))
    # Without the pixels, which nobody needs any more.
    loaded = LoadedBatch(images=(), failures=batch.failures, pending=batch.pending)
    return loaded, tuple(images), failures


def _row(value: _Outcome | OdiseError) -> dict[str, NDArray[Any]]:
    column = np.empty(1, dtype=object)
    column[0] = pickle.dumps(value)
    return {"outcome": column}


def _place(config: SegmentConfig) -> bytes:
    return pickle.dumps(ThisMachine().place(config))


@contextmanager
def open_cluster(address: str | None, *, num_actors: int | None) -> Iterator[RayCluster]:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: `host:port` of a cluster, `auto` for the one that this machine is in; None is
            what RAY_ADDRESS says, and a cluster of this machine alone where it says nothing.
        num_actors: how many devices; None is every GPU, or half of the cores.

    Raises:
        UsageError: Ray is not installed.
        TryAgainError: no cluster answers.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            f"--engine ray: Ray is not installed ({error}). Expected Ray Data. "
            "pip install 'odise-cli[ray]', or use --shard I/N without it."
        ) from error
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _check_answers(address)
    if ray.is_initialized():
        yield RayCluster(num_actors)
        return
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM) if is_main}
    try:
        ray.init(
            address, include_dashboard=False if address == "local" else None, log_to_driver=False
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise TryAgainError(_unreachable(address, _first_line(error))) from error
    finally:
        # Ray ends the process at SIGTERM; ours finishes what is in hand.
        for number, handler in handlers.items():
            signal.signal(number, handler)
    try:
        yield RayCluster(num_actors)
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Ask whether anybody listens at host:port, which Ray itself asks for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise TryAgainError(_unreachable(address, error.strerror or str(error))) from error


def _unreachable(address: str, reason: str) -> str:
    return (
        f"--ray-address: no cluster answers at {address} ({reason}). Expected the address of a Ray "
        "head. Start one with `ray start --head`, or leave --ray-address out."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
