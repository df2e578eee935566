"""The batches of a run: which images are computed together, and which of them are needed.

Knows positions in the full list and what an earlier run did; opens nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from odise_cli.config import Shard
from odise_cli.structures import ImageRecord

Status = Literal["done", "failed"]
"""How an earlier run left an image."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images that are computed together, whoever computes them and whenever."""

    records: tuple[ImageRecord, ...]
    """Every image of the batch, as cut from the full list."""
    pending: frozenset[str]
    """Names of the images whose results are wanted; the others are only company."""
    failed_before: frozenset[str]
    """Those of `pending` that an earlier run could not read."""


def plan_batches(
    records: Sequence[ImageRecord],
    *,
    batch_size: int,
    status: Mapping[str, Status],
    shard: Shard | None,
    limit: int | None,
) -> Iterator[Batch]:
    """Cut the full list into batches and leave out those of which nothing is wanted.

    A network's results depend on the batch in their last bits. Therefore batches are cut before
    sharding, limiting and resuming, and keep all their images: an image has the same company
    in every run.

    Args:
        records: The full sorted list.
        batch_size: Images per batch; the last one may hold fewer.
        status: What an earlier run did, by name; images that failed are tried again.
        shard: The part of the list that is wanted; None is all of it.
        limit: How many images of the shard are wanted, from its first; None is all of them.
    """
    first, end = shard.bounds(len(records)) if shard else (0, len(records))
    if limit is not None:
        end = min(end, first + limit)
    for start in range(first - first % batch_size, end, batch_size):
        stop = min(start + batch_size, len(records))
        wanted = (records[i].name for i in range(max(start, first), min(stop, end)))
        pending = frozenset(name for name in wanted if status.get(name) != "done")
        if pending:
            yield Batch(
                records=tuple(records[start:stop]),
                pending=pending,
                failed_before=frozenset(name for name in pending if name in status),
            )
