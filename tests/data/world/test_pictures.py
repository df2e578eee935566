import numpy as np
import pytest

from odise_cli.data.world.concepts import CONCEPTS
from odise_cli.data.world.pictures import Pictures, draw_pictures
from odise_cli.data.world.render import SceneSegment, render
from odise_cli.data.world.scenes import plan_scene
from tests.data.world.sentences import mentions

CONCEPT = {concept.name: concept for concept in CONCEPTS}


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    # More than one process's portion.
    return draw_pictures(66, side_px=64, seed=31, close_up=0.4, num_workers=2)


def test_scenes_are_those_of_the_seed_whoever_draws_them(pictures):
    assert len(pictures) == 66
    assert pictures.images_NHW3.shape == (66, 64, 64, 3)
    for number in (0, 40, 63, 64, 65):
        rng = np.random.default_rng([31, number])
        scene = render(plan_scene(rng, close_up=0.4), (64, 64), rng)
        assert np.array_equal(pictures.images_NHW3[number], scene.image_HW3)
        assert np.array_equal(pictures.numbers_NHW[number], scene.numbers_HW)
        assert pictures.segments[number] == scene.segments


def test_the_number_of_workers_changes_nothing(pictures):
    alone = draw_pictures(4, side_px=64, seed=31, close_up=0.4, num_workers=1)
    assert np.array_equal(alone.images_NHW3, pictures.images_NHW3[:4])
    assert np.array_equal(alone.numbers_NHW, pictures.numbers_NHW[:4])
    assert alone.segments == pictures.segments[:4]


def test_the_largest_window_is_the_scene_or_its_mirror_image(pictures):
    seen = set()
    for draw in range(12):
        image, caption = pictures.window(3, np.random.default_rng(draw), side_px=64, min_scale=1.0)
        scene = pictures.images_NHW3[3]
        is_mirrored = np.array_equal(image, scene[:, ::-1])
        assert is_mirrored or np.array_equal(image, scene)
        assert all(mention.fits(pictures.segments[3]) for mention in mentions(caption))
        seen.add(is_mirrored)
    assert seen == {True, False}


def test_a_window_follows_from_its_draws(pictures):
    for index in range(3):
        one, other = (
            pictures.window(index, np.random.default_rng(index), side_px=48, min_scale=0.4)
            for _ in range(2)
        )
        assert one[0].shape == (48, 48, 3)
        assert one[0].dtype == np.uint8
        assert np.array_equal(one[0], other[0])
        assert one[1] == other[1]


@pytest.fixture
def quarters() -> Pictures:
    """Four pieces of stuff, three of which have a channel of the picture for themselves."""
    numbers = np.ones((1, 64, 64), np.uint8)
    numbers[:, :32, 32:], numbers[:, 32:, :32], numbers[:, 32:, 32:] = 2, 3, 4
    images = np.stack([255 * (numbers == number) for number in (1, 2, 3)], axis=-1)
    segments = tuple(
        SceneSegment(
            number=number,
            concept=CONCEPT[name],
            color_name="",
            pattern="plain",
            area_px=1024,
        )
        for number, name in enumerate(("sky", "grass", "water", "road"), start=1)
    )
    return Pictures(images_NHW3=images.astype(np.uint8), numbers_NHW=numbers, segments=(segments,))


def test_a_caption_speaks_only_of_what_its_window_shows(quarters):
    num_partial, said = 0, set()
    for draw in range(300):
        rng = np.random.default_rng([32, draw])
        image, caption = quarters.window(0, rng, side_px=32, min_scale=0.3)
        red, green, blue = image.reshape(-1, 3).mean(axis=0) / 255
        shares = {"sky": red, "grass": green, "water": blue, "road": 1 - red - green - blue}
        found = {mention.concept for mention in mentions(caption)}
        assert found
        # A caption may speak of what fills 1.2 % of the window; resizing shifts edges a little.
        assert min(shares[name] for name in found) > 0.008
        num_partial += min(shares.values()) < 0.001
        said |= found
    assert num_partial > 30
    assert said == set(shares)


def test_what_is_hardly_visible_is_not_spoken_of(quarters):
    # 4 x 4 of 64 x 64 pixels are 0.4 %.
    numbers = np.ones_like(quarters.numbers_NHW)
    numbers[:, :4, :4] = 2
    pictures = Pictures(
        images_NHW3=quarters.images_NHW3, numbers_NHW=numbers, segments=quarters.segments
    )
    for draw in range(60):
        _, caption = pictures.window(0, np.random.default_rng(draw), side_px=64, min_scale=1.0)
        assert {mention.concept for mention in mentions(caption)} == {"sky"}


def test_a_part_is_cut_at_whole_patches_of_the_scene_or_its_mirror_image(pictures):
    for draw in range(12):
        image, caption, (row, column) = pictures.part(
            5, np.random.default_rng(draw), num_patches=3, patch_px=8
        )
        rows, columns = slice(8 * row, 8 * row + 24), slice(8 * column, 8 * column + 24)
        scene = pictures.images_NHW3[5]
        found = [np.array_equal(image, side[rows, columns]) for side in (scene, scene[:, ::-1])]
        assert any(found)
        numbers = pictures.numbers_NHW[5]
        if not found[0]:
            numbers = numbers[:, ::-1]
        shown = np.bincount(numbers[rows, columns].ravel(), minlength=256) / 24**2
        visible = [s for s in pictures.segments[5] if shown[s.number] >= 0.03]
        named = {mention.concept for mention in mentions(caption)}
        assert named <= {segment.concept.name for segment in visible}


def regions_of(pictures: Pictures, draw: int, *, count: int = 9, single_words: float = 0.0):
    return pictures.regions(
        0,
        np.random.default_rng(draw),
        count=count,
        sides=(2, 3, 8),
        patch_px=8,
        single_words=single_words,
    )


def test_captions_of_regions_speak_of_what_they_show(quarters):
    sides, num_mirrored = set(), 0
    for draw in range(40):
        image, regions = regions_of(quarters, draw, single_words=draw % 2)
        mirrored = image[0, 0, 0] == 0
        num_mirrored += mirrored
        assert np.array_equal(image, quarters.images_NHW3[0][:, :: -1 if mirrored else 1])
        assert len(regions) == 9
        for region in regions:
            heights = [s.stop - s.start for s in (region.rows, region.columns)]
            sides |= set(heights)
            rows, columns = (slice(8 * s.start, 8 * s.stop) for s in (region.rows, region.columns))
            shown = image[rows, columns]
            assert shown.shape[:2] == tuple(8 * side for side in heights)
            red, green, blue = shown.reshape(-1, 3).mean(axis=0) / 255
            shares = {"sky": red, "grass": green, "water": blue, "road": 1 - red - green - blue}
            found = {mention.concept for mention in mentions(region.caption)}
            assert found
            assert min(shares[name] for name in found) >= 0.03
            assert draw % 2 == 0 or len(found) == 1
    assert sides == {2, 3, 8}
    assert 8 < num_mirrored < 32


def test_regions_show_different_things_as_far_as_there_are(quarters):
    def shown(region):
        numbers = quarters.numbers_NHW[0][
            8 * region.rows.start : 8 * region.rows.stop,
            8 * region.columns.start : 8 * region.columns.stop,
        ]
        return frozenset(np.unique(numbers).tolist())

    # Four quarters, four borders, one middle: nine sets, of which four are drawn easily.
    for draw in range(20):
        image, regions = regions_of(quarters, draw, count=4)
        if image[0, 0, 0] == 255:
            assert len({shown(region) for region in regions}) == 4
    lone = Pictures(
        images_NHW3=quarters.images_NHW3,
        numbers_NHW=np.ones_like(quarters.numbers_NHW),
        segments=quarters.segments,
    )
    assert len(regions_of(lone, 0)[1]) == 9
