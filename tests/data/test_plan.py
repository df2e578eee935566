from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.config import Shard
from odise_cli.data.plan import Batch, Status, plan_batches
from odise_cli.structures import ImageRecord


def records(total: int) -> tuple[ImageRecord, ...]:
    return tuple(
        ImageRecord(path=Path(f"{i}.jpg"), name=f"{i}.jpg", stem=f"{i}", image_id=i)
        for i in range(total)
    )


def plan(
    total: int,
    batch_size: int,
    *,
    status: dict[str, Status] | None = None,
    shard: Shard | None = None,
    limit: int | None = None,
) -> list[Batch]:
    return list(
        plan_batches(
            records(total), batch_size=batch_size, status=status or {}, shard=shard, limit=limit
        )
    )


def as_text(batches: list[Batch]) -> list[str]:
    """`0 [1!] [2]`: the batch's images; wanted ones in brackets, earlier failures marked."""
    texts = []
    for batch in batches:
        words = []
        for record in batch.records:
            mark = "!" if record.name in batch.failed_before else ""
            wanted = record.name in batch.pending
            words.append(f"[{record.stem}{mark}]" if wanted else record.stem + mark)
        texts.append(" ".join(words))
    return texts


def test_full_list() -> None:
    assert as_text(plan(5, 2)) == ["[0] [1]", "[2] [3]", "[4]"]


def test_no_images() -> None:
    assert plan(0, 4) == []


def test_done_images_stay_as_company_and_done_batches_are_left_out() -> None:
    status: dict[str, Status] = {"0.jpg": "done", "1.jpg": "done", "2.jpg": "done"}
    assert as_text(plan(5, 2, status=status)) == ["2 [3]", "[4]"]


def test_failed_images_are_tried_again() -> None:
    status: dict[str, Status] = {"0.jpg": "done", "1.jpg": "failed", "2.jpg": "failed"}
    assert as_text(plan(4, 2, status=status)) == ["0 [1!]", "[2!] [3]"]


def test_shards_keep_the_batches_of_the_full_list() -> None:
    # 7 images: bounds 0..2, 2..4, 4..7
    assert as_text(plan(7, 3, shard=Shard(index=1, count=3))) == ["[0] [1] 2"]
    assert as_text(plan(7, 3, shard=Shard(index=2, count=3))) == ["0 1 [2]", "[3] 4 5"]
    assert as_text(plan(7, 3, shard=Shard(index=3, count=3))) == ["3 [4] [5]", "[6]"]


def test_limit_counts_from_the_shards_first_image() -> None:
    shard = Shard(index=2, count=2)  # 4..8
    assert as_text(plan(8, 3, shard=shard, limit=3)) == ["3 [4] [5]", "[6] 7"]
    assert as_text(plan(8, 3, limit=1)) == ["[0] 1 2"]
    assert as_text(plan(2, 3, limit=100)) == ["[0] [1]"]


def test_limit_counts_done_images_too() -> None:
    assert as_text(plan(4, 2, status={"0.jpg": "done"}, limit=2)) == ["0 [1]"]


def test_empty_shard() -> None:
    assert plan(1, 2, shard=Shard(index=1, count=2)) == []


@given(
    total=st.integers(0, 40),
    batch_size=st.integers(1, 9),
    count=st.integers(1, 6),
    states=st.lists(st.sampled_from(["done", "failed", None]), min_size=40, max_size=40),
)
def test_shards_together_want_each_unfinished_image_once(
    total: int, batch_size: int, count: int, states: list[Status | None]
) -> None:
    status = {f"{i}.jpg": state for i, state in enumerate(states[:total]) if state}
    whole = {batch.records for batch in plan(total, batch_size)}
    wanted: list[str] = []
    for index in range(1, count + 1):
        for batch in plan(total, batch_size, status=status, shard=Shard(index=index, count=count)):
            assert batch.records in whole
            assert batch.pending
            assert batch.failed_before == {n for n in batch.pending if status.get(n) == "failed"}
            wanted += batch.pending
    unfinished = [f"{i}.jpg" for i in range(total) if status.get(f"{i}.jpg") != "done"]
    assert sorted(wanted) == sorted(unfinished)


def test_lazy() -> None:
    batches = plan_batches(records(10), batch_size=1, status={}, shard=None, limit=None)
    assert next(batches).pending == {"0.jpg"}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_pending_is_part_of_the_batch(batch_size: int) -> None:
    for batch in plan(10, batch_size):
        assert batch.pending <= {record.name for record in batch.records}
