"""What is begun, what is finished, and in which order; threads are tested with the engine."""

from collections.abc import Iterator

from odise_cli.run_ahead import begin_next_first


def run(items: Iterator[int] | list[int], fails_at: int | None = None) -> tuple[list[str], object]:
    """What happened, in order, and the error that ended it."""
    events: list[str] = []

    def begin(item: int) -> str:
        if item == fails_at:
            raise OSError(f"no {item}")
        events.append(f"begin {item}")
        return f"begun {item}"

    def finish(item: int, begun: str) -> int:
        assert begun == f"begun {item}"
        events.append(f"finish {item}")
        return item

    error = None
    try:
        events += [f"got {result}" for result in begin_next_first(items, begin, finish)]
    except OSError as caught:
        error = caught
    return events, error


def happened(items: Iterator[int] | list[int], fails_at: int | None = None) -> list[str]:
    return [event for event in run(items, fails_at)[0] if not event.startswith("got")]


def test_each_is_finished_when_the_next_has_begun():
    assert happened([1, 2, 3]) == [
        *("begin 1", "begin 2", "finish 1", "begin 3", "finish 2", "finish 3")
    ]
    assert happened([1]) == ["begin 1", "finish 1"]
    assert happened([]) == []


def test_one_is_begun_ahead_and_no_more():
    begun: list[int] = []
    results = begin_next_first(iter(range(9)), begun.append, lambda item, _: item)
    for number in range(4):
        assert next(results) == number
        assert begun == list(range(number + 2))


def test_what_has_begun_is_finished_before_an_error_is_raised():
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk went away")

    events, error = run(items())
    assert events == ["begin 1", "begin 2", "finish 1", "finish 2"]
    assert str(error) == "the disk went away"
    events, error = run([1, 2, 3], fails_at=2)
    assert events == ["begin 1", "finish 1"]
    assert str(error) == "no 2"


def test_a_reader_that_leaves_finishes_nothing_more():
    finished: list[int] = []

    def finish(item: int, _: None) -> int:
        finished.append(item)
        return item

    results = begin_next_first(iter([1, 2, 3]), lambda _: None, finish)
    assert next(results) == 1
    results.close()  # type: ignore[attr-defined]
    assert finished == [1]
