import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.geometry import (
    bilinear,
    fitted_size,
    nearest,
    padded_size,
    resized_size,
    shrunk_size,
)

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


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((512, 900), (512, 900)),
        ((300, 2000), (300, 2000)),
        ((1024, 2048), (512, 1024)),
        # 901 / 600 · 512 = 768.85
        ((600, 901), (512, 769)),
        ((901, 600), (769, 512)),
        # 1537 / 1024 · 512 = 768.5 goes to the even 768, 1539 / 1024 · 512 = 769.5 to 770.
        ((1024, 1537), (512, 768)),
        ((1539, 1024), (770, 512)),
    ],
)
def test_a_shorter_side_is_shrunk_to_the_most_it_may_have(size, expected):
    assert shrunk_size(size, 512) == expected


def test_the_nearest_value_is_the_one_at_or_before_the_place():
    map_HW = np.arange(15, dtype=np.uint16).reshape(3, 5)
    # Rows floor(y · 3 / 2) = 0, 1; columns floor(x · 5 / 3) = 0, 1, 3.
    assert nearest(map_HW, (2, 3)).tolist() == [[0, 1, 3], [5, 6, 8]]
    assert nearest(map_HW, (3, 5)) is map_HW
    assert nearest(map_HW, (2, 3)).dtype == np.uint16
    channels_HW3 = np.stack([map_HW, map_HW + 100], axis=2)
    assert nearest(channels_HW3, (1, 2)).tolist() == [[[0, 100], [2, 102]]]


def test_a_pixel_is_mixed_of_four_by_hand():
    pixels_HW3 = np.array([[0, 100, 200, 50], [10, 20, 30, 40]], np.uint8)[..., None].repeat(3, 2)
    # Columns 0.5 and 2.5 of row 0.5: (0 + 100 + 10 + 20) / 4 = 32.5, (200 + 50 + 30 + 40) / 4 = 80.
    assert bilinear(pixels_HW3, (1, 2))[..., 0].tolist() == [[33, 80]]


@pytest.mark.parametrize("size", [(512, 769), (7, 3), (40, 61)])
def test_bilinear_is_pytorch_s_without_antialiasing(size):
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (60, 91, 3), np.uint8)
    images = torch.from_numpy(pixels_HW3).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(images, size, mode="bilinear", align_corners=False)
    found = bilinear(pixels_HW3, size)
    assert found.dtype == np.uint8
    assert np.abs(found - expected[0].permute(1, 2, 0).numpy()).max() < 0.51


@pytest.mark.parametrize(
    ("size", "canvases", "expected"),
    [
        ((256, 341), (), (256, 341)),  # none is any
        ((256, 341), ((256, 384),), (256, 341)),
        ((256, 341), ((256, 341),), (256, 341)),  # to the pixel
        ((341, 256), ((256, 384),), (256, 192)),  # 256/341 = 0.7507: 192.2 wide
        ((341, 256), ((256, 384), (320, 320)), (320, 240)),  # the one that keeps most
        ((256, 640), ((256, 384),), (153, 384)),  # 0.6: 153.6 high
        ((2, 2000), ((64, 64),), (1, 64)),  # never less than a pixel
    ],
)
def test_fitted_size(
    size: tuple[int, int], canvases: tuple[tuple[int, int], ...], expected: tuple[int, int]
) -> None:
    assert fitted_size(size, canvases) == expected


@given(SIDES, SIDES, st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3))
def test_a_fitted_image_has_a_canvas(
    height: int, width: int, canvases: list[tuple[int, int]]
) -> None:
    fitted = fitted_size((height, width), canvases)
    assert fitted <= (height, width)
    assert any(fitted[0] <= h and fitted[1] <= w for h, w in canvases)
