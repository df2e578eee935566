"""Augmentation: masks and image stay one picture, whatever is done to them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from odise_cli.data.training.augment import View, draw_view, fitted_view, look_through
from odise_cli.data.training.samples import TrainingSample
from tests.data.images import noise

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
few = st.integers(1, 12)
seeds = st.integers(0, 2**32)


def scene(size, seed):
    """Three masks that are painted red, green and blue, on black; tiles of three pixels."""
    height, width = size
    tiles = np.random.default_rng(seed).integers(0, 4, (-(-height // 3), -(-width // 3)))
    number_HW = np.kron(tiles, np.ones((3, 3), np.int64))[:height, :width]
    image = np.stack([255 * (number_HW == k) for k in (1, 2, 3)], axis=2).astype(np.uint8)
    present = [k for k in (1, 2, 3) if (number_HW == k).any()]
    return TrainingSample(
        name="tiles",
        image=image,
        masks=np.stack([number_HW == k for k in present] or [np.zeros((0, *size))]).reshape(
            (-1, *size)
        ).astype(bool),
        # Category k is painted into channel k.
        category_index=np.array(present, np.int64) - 1,
        captions=("Tiles.",),
    )  # fmt: skip


def view_of(size, resized=None, *, top_left=(0, 0), crop=None, is_flipped=False):
    resized = resized or size
    return View(is_flipped=is_flipped, resized=resized, top_left=top_left, crop=crop or resized)


def assert_same(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.masks, other.masks)
    np.testing.assert_array_equal(one.category_index, other.category_index)


@given(size=sizes, crop=sizes, seed=seeds)
def test_masks_follow_the_painted_image(size, crop, seed):
    sample = scene(size, seed)
    view = draw_view(size, crop, np.random.default_rng(seed))
    seen = look_through(sample, view)
    assert seen.image.shape == (*crop, 3)
    assert seen.masks.shape == (len(seen.category_index), *crop)
    by_channel = np.zeros((3, *crop), bool)
    by_channel[seen.category_index] = seen.masks
    shown = [min(r - f, c) for r, f, c in zip(view.resized, view.top_left, crop, strict=True)]
    inside = np.zeros(crop, bool)
    inside[: shown[0], : shown[1]] = True
    assert (seen.image[~inside] == 128).all()
    assert not by_channel[:, ~inside].any()
    for channel in range(3):
        # Where no neighbour is mixed in, colour and mask must agree.
        values = seen.image[:, :, channel]
        assert by_channel[channel][inside & (values == 255)].all()
        assert not by_channel[channel][inside & (values == 0)].any()


@given(size=st.tuples(few, few), resized=st.tuples(few, few), seed=seeds)
def test_masks_are_resized_as_a_naive_loop_does(size, resized, seed):
    sample = scene(size, seed)
    seen = look_through(sample, view_of(size, resized))
    found = dict(zip(seen.category_index, seen.masks, strict=True))
    for k, mask in zip(sample.category_index, sample.masks, strict=True):
        expected = [
            [
                mask[
                    int((row + Fraction(1, 2)) * size[0] / resized[0]),
                    int((column + Fraction(1, 2)) * size[1] / resized[1]),
                ]
                for column in range(resized[1])
            ]
            for row in range(resized[0])
        ]
        np.testing.assert_array_equal(found.get(k, np.zeros(resized, bool)), expected)


@given(size=sizes, seed=seeds)
def test_flipping_twice_changes_nothing(size, seed):
    sample = scene(size, seed)
    flip = view_of(size, is_flipped=True)
    once = look_through(sample, flip)
    np.testing.assert_array_equal(once.image, sample.image[:, ::-1])
    np.testing.assert_array_equal(once.masks, sample.masks[:, :, ::-1])
    assert_same(look_through(once, flip), sample)


@given(size=sizes, factor=st.integers(1, 4), seed=seeds)
def test_areas_grow_with_the_square_of_the_scale(size, factor, seed):
    sample = scene(size, seed)
    larger = look_through(sample, view_of(size, (size[0] * factor, size[1] * factor)))
    areas, grown = (s.masks.sum(axis=(1, 2)) for s in (sample, larger))
    assert (grown == factor**2 * areas).all()


@given(size=sizes, resized=sizes, crop=sizes, seed=seeds, data=st.data())
def test_a_crop_is_a_part_of_the_whole(size, resized, crop, seed, data):
    sample = scene(size, seed)
    spare = [max(0, r - c) for r, c in zip(resized, crop, strict=True)]
    top, left = (data.draw(st.integers(0, side)) for side in spare)
    whole = look_through(sample, view_of(size, resized))
    part = look_through(sample, view_of(size, resized, top_left=(top, left), crop=crop))
    inside = np.s_[top : top + crop[0], left : left + crop[1]]
    expected = whole.image[inside]
    np.testing.assert_array_equal(part.image[: expected.shape[0], : expected.shape[1]], expected)
    cropped = whole.masks[:, inside[0], inside[1]]
    kept = cropped.any(axis=(1, 2))
    np.testing.assert_array_equal(part.category_index, whole.category_index[kept])
    np.testing.assert_array_equal(
        part.masks[:, : expected.shape[0], : expected.shape[1]], cropped[kept]
    )


def test_masks_that_vanish_take_their_category_along():
    masks = np.zeros((3, 4, 8), bool)
    masks[0, :, :2] = masks[1, :, 2:4] = masks[2, :, 6:] = True
    sample = TrainingSample(
        name="bars", image=noise(4, 8), masks=masks, category_index=np.array([9, 5, 7]), captions=()
    )
    left = look_through(sample, view_of((4, 8), crop=(4, 3)))
    assert left.category_index.tolist() == [9, 5]
    right = look_through(sample, view_of((4, 8), crop=(4, 3), is_flipped=True))
    assert right.category_index.tolist() == [7]
    np.testing.assert_array_equal(right.masks[0], [[True, True, False]] * 4)
    # Columns 2 and 6 of eight are the nearest of two: the first mask falls between them.
    assert look_through(sample, view_of((4, 8), (4, 2))).category_index.tolist() == [5, 7]


def test_the_image_is_pillows_bilinear_one():
    sample = scene((30, 40), 1)
    image = noise(30, 40)
    view = view_of((30, 40), (15, 20), top_left=(2, 3), crop=(10, 12))
    seen = look_through(TrainingSample(**{**vars(sample), "image": image}), view)
    resized = Image.fromarray(image).resize((20, 15), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(seen.image, np.asarray(resized)[2:12, 3:15])


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        # 48 / 30 = 1.6 and 64 / 40 = 1.6: both sides fit.
        ((30, 40), (48, 64)),
        # min(48 / 10, 64 / 40) = 1.6; 10 · 1.6 = 16.
        ((10, 40), (16, 64)),
        # min(48 / 100, 64 / 3) = 0.48; 3 · 0.48 = 1.44.
        ((100, 3), (48, 1)),
        ((1000, 1), (48, 1)),
    ],
)
def test_at_scale_one_the_image_just_fits(size, resized):
    assert fitted_view(size, (48, 64)) == View(
        is_flipped=False, resized=resized, top_left=(0, 0), crop=(48, 64)
    )


def test_views_are_spread_over_flips_scales_and_places():
    rng = np.random.default_rng(0)
    views = [draw_view((500, 500), (100, 100), rng) for _ in range(4000)]
    heights = np.array([view.resized[0] for view in views])
    # Uniform on 0.1 … 2.0: mean 1.05, standard deviation 1.9 / √12 = 0.548, of the mean 0.0087.
    assert abs(heights.mean() / 100 - 1.05) < 0.03
    assert abs(heights.std() / 100 - 0.548) < 0.02
    assert (heights.min(), heights.max()) == (10, 200)
    # Binomial, n = 4000: a standard deviation of 32.
    assert abs(sum(view.is_flipped for view in views) - 2000) < 120
    small = [view for view in views if view.resized[0] <= 100]
    assert {view.top_left for view in small} == {(0, 0)}
    large = [view for view in views if view.resized[0] > 100]
    places = np.array([np.divide(v.top_left, v.resized[0] - 100) for v in large])
    assert np.abs(places.mean(axis=0) - 0.5).max() < 0.03
    assert (places.min(), places.max()) == (0, 1)


def test_an_image_without_masks_stays_without():
    sample = TrainingSample(
        name="bare",
        image=noise(20, 30),
        masks=np.zeros((0, 20, 30), bool),
        category_index=np.zeros(0, np.int64),
        captions=("Nothing.",),
    )
    seen = look_through(sample, draw_view((20, 30), (16, 16), np.random.default_rng(0)))
    assert seen.masks.shape == (0, 16, 16)
    assert seen.category_index.shape == (0,)
    assert (seen.name, seen.captions) == ("bare", ("Nothing.",))


def test_more_masks_than_a_byte_counts():
    sample = TrainingSample(
        name="pixels",
        image=noise(20, 20),
        masks=np.eye(400, dtype=bool).reshape(400, 20, 20),
        category_index=np.arange(400),
        captions=(),
    )
    assert_same(look_through(sample, view_of((20, 20))), sample)
