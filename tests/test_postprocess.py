import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from odise_cli import mask_grid, postprocess
from odise_cli.mask_grid import MaskGrid
from odise_cli.postprocess import (
    first_of_largest,
    instances,
    look_up,
    look_up_on_device,
    pack_bits,
    pack_bits_on_device,
    panoptic,
    semantic,
)
from tests.masks import grid_of, whole

SEEDS = st.integers(0, 2**32 - 1)
NO_OBJECT = 4
"""Column of "no object" in the examples below, which have four categories."""
THINGS = np.array([True, False, True, False])


def drawn(
    seed: int, *, queries: int = 6, size: tuple[int, int] = (19, 21)
) -> tuple[Tensor, MaskGrid]:
    """Random class scores [Q, 5] and a grid that really resizes."""
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(queries, NO_OBJECT + 1, generator=generator)
    logits = 4 * torch.randn(queries, 5, 6, generator=generator)
    grid = MaskGrid(logits_QHW=logits, canvas_size=(20, 24), image_size=(17, 22), output_size=size)
    return scores.log_softmax(-1), grid


@pytest.fixture(params=[128, 8], ids=["one_tile", "many_tiles"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_grid, "_TILE_SIDE_PX", request.param)
    monkeypatch.setattr(postprocess, "_VOTE_BYTES", request.param)


# --- helpers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 66, 144, 150, 600, 65_534])
def test_first_of_largest_is_argmax(count: int) -> None:
    # Few different values, so that many are equal.
    generator = torch.Generator().manual_seed(count)
    votes = torch.randint(0, 4 if count < 9 else count // 4, (count, 5, 33), generator=generator)
    expected = votes.numpy().argmax(axis=0)
    np.testing.assert_array_equal(first_of_largest(votes.float()).numpy(), expected)


@pytest.mark.parametrize("count", [8, 13, 1])
def test_bits_are_packed_as_numpy_does(count: int) -> None:
    bits = torch.rand(3, count, generator=torch.Generator().manual_seed(count)) > 0.5
    expected = np.packbits(bits.numpy(), axis=1)
    np.testing.assert_array_equal(pack_bits(bits).numpy(), expected)
    np.testing.assert_array_equal(pack_bits_on_device(bits).numpy(), expected)


@pytest.mark.parametrize("largest_id", [0, 3, 255, 256, 70_000])
def test_ids_are_looked_up_on_a_device_as_numpy_does(largest_id: int) -> None:
    ids = np.array([1, largest_id, 2, 0], np.int32)
    index = torch.tensor([[0, 1, -1], [2, 3, 1]], dtype=torch.int32)
    expected = [[1, largest_id, 0], [2, 0, largest_id]]
    for found in (look_up(ids, index), look_up_on_device(ids, index)):
        assert found.dtype == np.int32
        assert found.tolist() == expected


# --- panoptic -----------------------------------------------------------------------------------


def naive_panoptic(
    scores: Tensor, grid: MaskGrid, *, object_threshold: float, overlap: float, unknown: float
) -> tuple[np.ndarray, list[tuple[int, int, float]]]:
    """Pixel by pixel and query by query; segments as (id, category, score)."""
    height, width = grid.output_size
    masks = grid.window(whole(grid)).sigmoid()
    probabilities = scores.softmax(-1)
    kept = []
    for q in range(len(scores)):
        best = int(probabilities[q].argmax())
        if best != NO_OBJECT and float(probabilities[q, best]) > object_threshold:
            kept.append((q, best, float(probabilities[q, best])))
    winner = {}
    for y in range(height):
        for x in range(width):
            votes = [score * float(masks[q, y, x]) for q, _, score in kept]
            if votes:
                winner[y, x] = kept[votes.index(max(votes))][0]
    ids, segments = np.zeros((height, width), np.int32), []
    of_stuff: dict[int, int] = {}
    for q, category, score in kept:
        pixels = [(y, x) for y in range(height) for x in range(width)]
        own = [p for p in pixels if float(masks[q][p]) >= 0.5]
        won = [p for p in pixels if winner[p] == q]
        both = [p for p in own if winner[p] == q]
        if not own or not won or not both or len(won) / len(own) < overlap or score < unknown:
            continue
        if not THINGS[category] and category in of_stuff:
            segment_id = of_stuff[category]
            old = segments[segment_id - 1]
            segments[segment_id - 1] = (segment_id, category, max(old[2], score))
        else:
            segment_id = len(segments) + 1
            segments.append((segment_id, category, score))
            of_stuff[category] = segment_id
        for p in both:
            ids[p] = segment_id
    return ids, segments


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("object_threshold", "overlap", "unknown"), [(0.0, 0.8, 0.0), (0.0, 0.2, 0.0), (0.5, 0.1, 0.8)]
)
def test_panoptic_is_the_naive_loop(
    seed: int, object_threshold: float, overlap: float, unknown: float
) -> None:
    scores, grid = drawn(seed, queries=10)
    expected_ids, expected = naive_panoptic(
        scores, grid, object_threshold=object_threshold, overlap=overlap, unknown=unknown
    )
    ids, segments = panoptic(
        scores,
        grid,
        THINGS,
        object_mask_threshold=object_threshold,
        overlap_threshold=overlap,
        unknown_threshold=unknown,
    )
    np.testing.assert_array_equal(ids, expected_ids)
    assert [(s.id, s.category) for s in segments] == [(i, category) for i, category, _ in expected]
    np.testing.assert_allclose([s.score for s in segments], [s for *_, s in expected], rtol=1e-5)


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_ids_of_segments_and_map_agree(seed: int, overlap: float, unknown: float) -> None:
    scores, grid = drawn(seed)
    ids, segments = panoptic(
        scores, grid, THINGS, overlap_threshold=overlap, unknown_threshold=unknown
    )
    assert ids.dtype == np.int32
    assert [s.id for s in segments] == list(range(1, len(segments) + 1))
    assert set(np.unique(ids)) - {0} == {s.id for s in segments}
    stuff = [s.category for s in segments if not THINGS[s.category]]
    assert len(stuff) == len(set(stuff))
    assert all(s.score >= unknown for s in segments)


def scores_of(*rows: tuple[int, float]) -> Tensor:
    """Log-probabilities: each query has one category with a probability, the rest share."""
    scores = torch.empty(len(rows), NO_OBJECT + 1)
    for q, (category, probability) in enumerate(rows):
        scores[q] = (1 - probability) / NO_OBJECT
        scores[q, category] = probability
    return scores.log()


def rectangles(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> Tensor:
    """A mask logit of 8 inside (top, bottom, left, right) and −8 outside."""
    logits = torch.full((len(boxes), *size), -8.0)
    for q, (top, bottom, left, right) in enumerate(boxes):
        logits[q, top:bottom, left:right] = 8.0
    return logits


def test_panoptic_by_hand() -> None:
    # A thing on the left, stuff of one category at the top right and bottom right.
    grid = grid_of(rectangles((4, 6), (0, 4, 0, 2), (0, 2, 2, 6), (2, 3, 2, 6)))
    ids, segments = panoptic(scores_of((0, 0.6), (1, 0.5), (1, 0.7)), grid, THINGS)
    assert ids.tolist() == [
        [1, 1, 2, 2, 2, 2],
        [1, 1, 2, 2, 2, 2],
        [1, 1, 2, 2, 2, 2],
        [1, 1, 0, 0, 0, 0],
    ]
    assert [(s.id, s.category) for s in segments] == [(1, 0), (2, 1)]
    assert segments[0].score == pytest.approx(0.6)
    assert segments[1].score == pytest.approx(0.7)  # the better of the two that were merged


def test_two_things_of_one_category_stay_two() -> None:
    grid = grid_of(rectangles((2, 4), (0, 2, 0, 2), (0, 2, 2, 4)))
    ids, segments = panoptic(scores_of((0, 0.6), (0, 0.7)), grid, THINGS)
    assert ids.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert [s.category for s in segments] == [0, 0]


def test_overlap_threshold_by_hand() -> None:
    # The second mask wins 6 of its 8 pixels against a better one.
    grid = grid_of(rectangles((2, 6), (0, 2, 0, 3), (0, 2, 2, 6)))
    scores = scores_of((0, 0.9), (2, 0.5))
    kept, _ = panoptic(scores, grid, THINGS, overlap_threshold=0.75)
    dropped, segments = panoptic(scores, grid, THINGS, overlap_threshold=0.76)
    assert kept.tolist() == 2 * [[1, 1, 1, 2, 2, 2]]
    # Nobody else gets what a dropped segment had won.
    assert dropped.tolist() == 2 * [[1, 1, 1, 0, 0, 0]]
    assert len(segments) == 1


def test_unknown_threshold_makes_void() -> None:
    grid = grid_of(rectangles((2, 4), (0, 2, 0, 2), (0, 2, 2, 4)))
    ids, segments = panoptic(scores_of((0, 0.5), (2, 0.9)), grid, THINGS, unknown_threshold=0.6)
    assert ids.tolist() == 2 * [[0, 0, 1, 1]]
    assert [s.category for s in segments] == [2]


def test_object_mask_threshold_is_exceeded_not_met() -> None:
    grid = grid_of(rectangles((1, 2), (0, 1, 0, 2)))
    score = float(scores_of((0, 0.5)).softmax(-1).max())
    assert panoptic(scores_of((0, 0.5)), grid, THINGS, object_mask_threshold=score)[1] == ()
    assert len(panoptic(scores_of((0, 0.5)), grid, THINGS, object_mask_threshold=0.49)[1]) == 1


def test_alternatives_are_the_best_five_without_no_object() -> None:
    probabilities = torch.tensor([[0.05, 0.3, 0.04, 0.2, 0.1, 0.06, 0.02, 0.23]])
    grid = grid_of(rectangles((1, 1), (0, 1, 0, 1)))
    _, segments = panoptic(probabilities.log(), grid, np.ones(7, bool))
    categories, values = zip(*segments[0].alternatives, strict=True)
    assert categories == (1, 3, 4, 5, 0)
    np.testing.assert_allclose(values, [0.3, 0.2, 0.1, 0.06, 0.05], rtol=1e-5)
    assert segments[0].alternatives[0] == (segments[0].category, pytest.approx(segments[0].score))


def test_no_query_survives() -> None:
    grid = grid_of(rectangles((3, 4), (0, 3, 0, 4)))
    ids, segments = panoptic(scores_of((NO_OBJECT, 0.9)), grid, THINGS)
    assert (ids.tolist(), segments) == (3 * [4 * [0]], ())


def test_masks_that_cover_nothing() -> None:
    grid = grid_of(torch.full((2, 3, 4), -8.0))
    ids, segments = panoptic(scores_of((0, 0.9), (1, 0.9)), grid, THINGS)
    assert (int(ids.max()), segments) == (0, ())


# --- semantic -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("seed", range(6))
def test_semantic_is_the_naive_loop(seed: int) -> None:
    scores, grid = drawn(seed)
    weights, masks = scores.softmax(-1).double(), grid.window(whole(grid)).sigmoid().double()
    labels = semantic(scores, grid)
    assert labels.dtype == np.uint16
    for y in range(19):
        for x in range(21):
            votes = [
                sum(float(weights[q, k] * masks[q, y, x]) for q in range(6))
                for k in range(NO_OBJECT)
            ]
            assert labels[y, x] == votes.index(max(votes))


def test_semantic_with_as_many_categories_as_fit() -> None:
    scores = torch.full((3, 65_536), -20.0)
    scores[0, 65_534] = scores[1, 7] = scores[2, 65_535] = 0.0  # the last is "no object"
    grid = grid_of(rectangles((2, 4), (0, 2, 0, 2), (0, 2, 2, 4), (0, 2, 0, 4)))
    assert semantic(scores, grid).tolist() == 2 * [[65_534, 65_534, 7, 7]]


# --- instances ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_instances", [1, 7, 24, 100])
def test_instances_are_the_naive_loop(seed: int, num_instances: int) -> None:
    scores, grid = drawn(seed)
    probabilities, logits = scores.softmax(-1), grid.window(whole(grid))
    pairs = [(float(probabilities[q, k]), q, k) for q in range(6) for k in range(NO_OBJECT)]
    expected = []
    for probability, q, k in sorted(pairs, reverse=True)[:num_instances]:
        inside = logits[q] > 0
        if THINGS[k] and inside.any():
            quality = float(logits[q].sigmoid()[inside].mean())
            expected.append((probability * quality, k, inside.numpy()))
    expected.sort(key=lambda item: -item[0])
    found = instances(scores, grid, THINGS, num_instances=num_instances)
    assert (found.scores.dtype, found.categories.dtype) == (np.float32, np.int32)
    np.testing.assert_allclose(found.scores, [score for score, *_ in expected], rtol=1e-4)
    assert found.categories.tolist() == [category for _, category, _ in expected]
    for i, (_, _, mask) in enumerate(expected):
        np.testing.assert_array_equal(found.mask(i, (19, 21)), mask)


def test_stuff_is_dropped_after_the_best_were_taken() -> None:
    grid = grid_of(rectangles((2, 2), (0, 2, 0, 2), (0, 2, 0, 2)))
    scores = scores_of((1, 0.9), (0, 0.8))  # the best pair is stuff
    assert len(instances(scores, grid, THINGS, num_instances=1).scores) == 0
    assert instances(scores, grid, THINGS, num_instances=2).categories.tolist() == [0]


def test_score_is_class_probability_times_mean_mask_probability() -> None:
    # Inside are logits of 0.5 and 2: probabilities 0.62246 and 0.88080, by hand (mean 0.75163).
    grid = grid_of(torch.tensor([[[0.5, 2.0, -1.0]]]))
    found = instances(scores_of((0, 0.8)), grid, THINGS, num_instances=1)
    assert found.scores[0] == pytest.approx(0.8 * 0.75163, rel=1e-4)
    assert found.mask(0, (1, 3)).tolist() == [[True, True, False]]


def test_instances_without_a_pixel_are_dropped() -> None:
    logits = rectangles((2, 2), (0, 2, 0, 1), (0, 0, 0, 0))
    scores = scores_of((0, 0.6), (2, 0.9))
    found = instances(scores, grid_of(logits), THINGS, num_instances=1)
    assert len(found.scores) == 0
    found = instances(scores, grid_of(logits), THINGS, num_instances=2)
    assert found.categories.tolist() == [0]
    assert found.mask(0, (2, 2)).tolist() == [[True, False], [True, False]]


def test_no_instances_at_all() -> None:
    grid = grid_of(torch.full((2, 3, 3), -1.0))
    found = instances(scores_of((0, 0.6), (1, 0.9)), grid, THINGS, num_instances=100)
    assert (found.scores.shape, found.mask_rows.shape) == ((0,), (0,))


# --- sizes --------------------------------------------------------------------------------------


def test_one_pixel_output() -> None:
    logits = torch.full((1, 16, 16), 8.0)
    grid = MaskGrid(logits_QHW=logits, canvas_size=(64, 64), image_size=(1, 1), output_size=(1, 1))
    scores = scores_of((2, 0.9))
    ids, segments = panoptic(scores, grid, THINGS)
    assert (ids.tolist(), [s.category for s in segments]) == ([[1]], [2])
    assert semantic(scores, grid).tolist() == [[2]]
    assert instances(scores, grid, THINGS, num_instances=1).mask(0, (1, 1)).tolist() == [[True]]


# Not getrusage: its maximum begins with that of the process that started this one.
MEASURE = """
import re
from pathlib import Path
import numpy as np
import torch
from odise_cli.mask_grid import MaskGrid
from odise_cli.postprocess import instances, panoptic, semantic

def peak_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

generator = torch.Generator().manual_seed(0)
scores = torch.randn(100, 848, generator=generator).log_softmax(-1)
grid = MaskGrid(
    logits_QHW=4 * torch.randn(100, 256, 352, generator=generator),
    canvas_size=(1024, 1408), image_size=(1024, 1365), output_size=(1024, 1365),
)
torch.ones(64, 64) @ torch.ones(64, 64)  # the libraries' own buffers
before = peak_kib()
assert semantic(scores, grid).shape == (1024, 1365)
assert panoptic(scores, grid, np.ones(847, bool), overlap_threshold=0.0)[0].shape == (1024, 1365)
assert len(instances(scores, grid, np.ones(847, bool), num_instances=100).scores) == 100
print(peak_kib() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_with_847_categories_on_1024_by_1365() -> None:
    result = subprocess.run(
        [sys.executable, "-c", MEASURE],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=Path(__file__).parents[1],
    )
    assert result.returncode == 0, result.stderr
    extra_mib = int(result.stdout) / 1024
    # The scores alone as floats, 847 × 1024 × 1365, would take 4.4 GiB.
    assert extra_mib < 2048
