import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.geometry import padded_size, resized_size

SIDES = st.integers(min_value=1, max_value=20_000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 1024), (1024, 1024)),
        ((512, 512), (1024, 1024)),
        ((427, 640), (1024, 1535)),  # 640 · 1024/427 = 1534.8
        ((640, 427), (1535, 1024)),
        ((3000, 4000), (1024, 1365)),  # 4000 · 1024/3000 = 1365.3
        ((2048, 2049), (1024, 1025)),  # 1024.5 is rounded up
        ((2048, 2053), (1024, 1027)),  # and so is 1026.5, which banker's rounding would not
        ((1000, 2500), (1024, 2560)),  # exactly the longest side
        ((1000, 5000), (512, 2560)),  # 5120 is too long: 5000 → 2560, 1000 · 0.512 = 512
        ((1, 5000), (1, 2560)),  # 0.512 is rounded up to 1
        ((1, 20_000), (1, 2560)),  # 0.128 would be no pixel at all
        ((1, 1), (1024, 1024)),
    ],
)
def test_resized_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized_size(size, short_side=1024, long_side=2560) == expected


@given(SIDES, SIDES, st.integers(1, 2000), st.integers(0, 2000))
def test_resized_size_keeps_its_promises(
    height: int, width: int, short_side: int, extra: int
) -> None:
    long_side = short_side + extra
    resized = resized_size((height, width), short_side=short_side, long_side=long_side)
    assert min(resized) >= 1
    assert max(resized) <= long_side
    assert min(resized) == short_side or max(resized) == long_side
    # The aspect ratio: the shorter side is the longer one's share, to half a pixel at each end.
    exact = max(resized) * min(height, width) / max(height, width)
    assert abs(max(1, exact) - min(resized)) <= 1
    assert resized[::-1] == resized_size(
        (width, height), short_side=short_side, long_side=long_side
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1365), (1024, 1408)), ((64, 64), (64, 64)), ((1, 65), (64, 128))],
)
def test_padded_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert padded_size(size) == expected


@given(SIDES, SIDES, st.integers(1, 128))
def test_padding_is_the_least_that_divides(height: int, width: int, multiple: int) -> None:
    for side, padded in zip((height, width), padded_size((height, width), multiple), strict=True):
        assert padded % multiple == 0
        assert 0 <= padded - side < multiple
