import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from odise_cli.training.criterion import (
    CaptionEmbeddings,
    Criterion,
    LayerPredictions,
    Losses,
    LossWeights,
    Predictions,
    choose_hidden,
    losses_without_words,
)
from odise_cli.training.point_sampling import PointSampler
from odise_cli.training.targets import MaskTargets
from tests.model.golden import SMOOTH, Check, Golden
from tests.training.scenarios import Mode, RecordingCriterion

WEIGHTS = {"ce": 2.0, "mask": 5.0, "dice": 5.0}
WORDS = (("cat", "mat"), ("", ""), ("dog", ""), ("sky", "sea"))


@pytest.fixture(params=["grid", "recipe"])
def mode(request: pytest.FixtureRequest) -> Mode:
    return request.param


def golden_predictions(golden: Golden) -> Predictions:
    stored = golden.unit_tensors
    return Predictions(
        layers=tuple(
            LayerPredictions(
                mask_logits_BQHW=stored[f"crit/pred_masks{suffix}"],
                class_logits_BQK=golden.unit_input(f"crit_logits{suffix}"),
                mask_embed_BQD=torch.zeros(2, 12, 1),
            )
            for suffix in ("_aux", "")
        )
    )


def test_matching_and_losses_are_the_reference_s(golden: Golden, check: Check, mode: Mode) -> None:
    criterion, stored = RecordingCriterion(mode), golden.unit_tensors
    expected = golden.unit["crit"][mode]
    labels = golden.unit["crit"]["gt_labels"]
    targets = [
        MaskTargets(
            masks_NHW=stored[f"crit/gt{i}"].bool(), category_N=torch.tensor(label), words=None
        )
        for i, label in enumerate(labels)
    ]
    losses = criterion(golden_predictions(golden), targets)
    assert criterion.indices() == expected["indices"]
    if mode == "recipe":
        assert criterion.recorded.shapes == expected["rand_calls"]
    for i, points in enumerate(criterion.recorded.points):
        # Points of equal uncertainty may swap places.
        ours, theirs = (x.sort(dim=1).values for x in (points, stored[f"crit/points_{mode}_{i}"]))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)
    assert list(losses.weighted) == list(expected["losses"])
    check(
        {
            name: abs(float(losses.weighted[name]) / (WEIGHTS[name.split("_")[1]] * value) - 1)
            for name, value in expected["losses"].items()
        },
        SMOOTH,
    )


def draw_batch(
    num_masks: tuple[int, ...], *, is_caption: bool, seed: int = 0
) -> tuple[Predictions, list[MaskTargets]]:
    """Two layers of made-up predictions, leaves that want gradients, and targets."""
    generator = torch.Generator().manual_seed(seed)
    size = len(num_masks)

    def leaf(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).requires_grad_()

    layers = tuple(
        LayerPredictions(
            mask_logits_BQHW=leaf(size, 5, 8, 8),
            class_logits_BQK=leaf(size, 5, 2 if is_caption else 4),
            mask_embed_BQD=leaf(size, 5, 6),
        )
        for _ in range(2)
    )
    captions = CaptionEmbeddings(word_embed_BWD=leaf(size, 2, 6), scale=torch.tensor(5.0))
    targets = [
        MaskTargets(
            masks_NHW=torch.rand(count, 16, 16, generator=generator) > 0.5,
            category_N=None if is_caption else torch.arange(count) % 3,
            words=WORDS[i] if is_caption else None,
        )
        for i, count in enumerate(num_masks)
    ]
    return Predictions(layers=layers, captions=captions if is_caption else None), targets


def leaves(predictions: Predictions) -> list[Tensor]:
    found = [
        x for layer in predictions.layers for x in (layer.mask_logits_BQHW, layer.class_logits_BQK)
    ]
    if predictions.captions is not None:
        found += [layer.mask_embed_BQD for layer in predictions.layers]
        found += [predictions.captions.word_embed_BWD]
    return found


@pytest.mark.parametrize("is_caption", [False, True])
@pytest.mark.parametrize("num_masks", [(0, 0), (0, 3)])
def test_images_without_annotation(num_masks: tuple[int, ...], is_caption: bool) -> None:
    predictions, targets = draw_batch(num_masks, is_caption=is_caption)
    losses = Criterion()(predictions, targets)
    losses.total.backward()
    assert all(loss.isfinite() for loss in losses.weighted.values())
    for x in leaves(predictions):
        assert x.grad is not None
        assert x.grad.isfinite().all()
    # No mask is wrong where there is none, but calling a query an object is.
    layer = predictions.layers[-1]
    assert not layer.mask_logits_BQHW.grad[0].any()
    assert layer.class_logits_BQK.grad[0].any()
    if not any(num_masks):
        assert losses.weighted["loss_mask"] == losses.weighted["loss_dice"] == 0


def test_more_masks_than_queries() -> None:
    predictions, targets = draw_batch((7,), is_caption=False)
    losses = Criterion()(predictions, targets)
    assert losses.total.isfinite()


def test_weights() -> None:
    """Every weight scales its own loss, and the total is the sum."""
    predictions, targets = draw_batch((2, 1), is_caption=True)
    sampler = PointSampler(num_points=4, importance_ratio=0.0, draw=corners)
    plain, heavy = (
        Criterion(sampler=sampler, weights=weights)(predictions, targets)
        for weights in (
            LossWeights(classification=1, mask=1, dice=1, grounding=1),
            LossWeights(classification=2, mask=3, dice=4, grounding=5),
        )
    )
    factors = {"loss_ce": 2, "loss_mask": 3, "loss_dice": 4, "loss_mask_word": 5}
    expected = {
        name: factors[name.removesuffix("_0")] * value for name, value in plain.weighted.items()
    }
    torch.testing.assert_close(heavy.weighted, expected)
    torch.testing.assert_close(heavy.total, sum(expected.values(), torch.tensor(0.0)))


def test_half_precision_predictions_are_compared_in_float32() -> None:
    predictions, targets = draw_batch((2, 1), is_caption=False)
    sampler = PointSampler(num_points=4, importance_ratio=0.0, draw=corners)
    exact = Criterion(sampler=sampler)(rounded(predictions, torch.float32), targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Criterion(sampler=sampler)(rounded(predictions, torch.bfloat16), targets)
    torch.testing.assert_close(found.weighted, exact.weighted)


def rounded(predictions: Predictions, dtype: torch.dtype) -> Predictions:
    """Numbers that bfloat16 holds, in a dtype."""
    layers = (
        LayerPredictions(
            mask_logits_BQHW=layer.mask_logits_BQHW.bfloat16().to(dtype),
            class_logits_BQK=layer.class_logits_BQK.bfloat16().to(dtype),
            mask_embed_BQD=layer.mask_embed_BQD.bfloat16().to(dtype),
        )
        for layer in predictions.layers
    )
    return Predictions(layers=tuple(layers))


def corners(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Four points, the same for whoever asks."""
    points = torch.tensor([[0.2, 0.3], [0.7, 0.3], [0.4, 0.8], [0.9, 0.6]])
    return points.expand(shape)


def part(
    predictions: Predictions, targets: list[MaskTargets], rows: slice
) -> tuple[Predictions, list[MaskTargets]]:
    layers = tuple(
        LayerPredictions(
            mask_logits_BQHW=layer.mask_logits_BQHW[rows],
            class_logits_BQK=layer.class_logits_BQK[rows],
            mask_embed_BQD=layer.mask_embed_BQD[rows],
        )
        for layer in predictions.layers
    )
    captions = predictions.captions
    if captions is not None:
        captions = CaptionEmbeddings(
            word_embed_BWD=captions.word_embed_BWD[rows], scale=captions.scale
        )
    return Predictions(layers=layers, captions=captions), targets[rows]


def gatherers(count: int) -> Iterator[Callable[[Tensor], Tensor]]:
    """For each of `count` threads what a process gathers with, in lockstep."""
    slots: list[Tensor] = [torch.empty(0)] * count
    barrier = threading.Barrier(count, timeout=60)

    def make(rank: int) -> Callable[[Tensor], Tensor]:
        def gather(rows: Tensor) -> Tensor:
            slots[rank] = rows
            barrier.wait()
            gathered = torch.cat(slots)
            barrier.wait()
            return gathered

        return gather

    return (make(rank) for rank in range(count))


@pytest.mark.parametrize("is_caption", [False, True])
def test_processes_together_are_one_with_the_joint_batch(is_caption: bool) -> None:
    predictions, targets = draw_batch((3, 0, 1, 4), is_caption=is_caption)
    sampler = PointSampler(num_points=4, importance_ratio=0.0, draw=corners)
    joint = Criterion(sampler=sampler)(predictions, targets)
    expected = torch.autograd.grad(joint.total, leaves(predictions), retain_graph=True)

    found: dict[int, Losses] = {}

    def work(rank: int, gather: Callable[[Tensor], Tensor]) -> None:
        rows = slice(2 * rank, 2 * rank + 2)
        criterion = Criterion(sampler=sampler, gather=gather)
        found[rank] = criterion(*part(predictions, targets, rows))

    threads = [
        threading.Thread(target=work, args=(rank, gather))
        for rank, gather in enumerate(gatherers(2))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mean = {
        name: (found[0].weighted[name] + found[1].weighted[name]) / 2 for name in joint.weighted
    }
    torch.testing.assert_close(mean, joint.weighted)
    gradients = torch.autograd.grad((found[0].total + found[1].total) / 2, leaves(predictions))
    torch.testing.assert_close(gradients, expected)


def test_what_has_no_word_is_to_be_anything_but_nothing():
    # Probabilities 1/2, 1/4, 1/8 and, of "no object", 1/8.
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().expand(1, 3, 4).requires_grad_()
    classes = torch.tensor([[0, 1, 3]])
    hidden = torch.tensor([[True, False, False, False]])
    losses = losses_without_words(logits, classes, hidden)
    # Without the first word 1/4, 1/8 and 1/8 are left: a half, a quarter and a quarter.
    expected = -torch.tensor([[3 / 4, 1 / 2, 1 / 4]]).log()
    torch.testing.assert_close(losses.detach(), expected)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert gradient.isfinite().all()
    assert (gradient[..., 0] == 0).all()
    none_hidden = losses_without_words(logits, classes, torch.zeros_like(hidden))
    torch.testing.assert_close(none_hidden.detach(), -torch.tensor([[1 / 2, 1 / 4, 1 / 8]]).log())


def test_every_image_has_to_do_without_other_words():
    torch.manual_seed(0)
    logits = torch.zeros(200, 3, 11)
    hidden = choose_hidden(0.35, logits)
    assert hidden.shape == (200, 11)
    assert set(hidden.sum(dim=1).tolist()) == {3}
    assert not hidden[:, -1].any()
    # 200 · 0.3 = 60 each, give or take four standard deviations.
    assert all(34 < count < 86 for count in hidden[:, :-1].sum(dim=0).tolist())
    assert choose_hidden(1.0, logits)[0].tolist().count(False) == 2


def test_hidden_words_change_the_losses_of_classes():
    predictions, targets = draw_batch((2, 3), is_caption=False)
    torch.manual_seed(0)
    usual = Criterion()(predictions, targets).weighted
    torch.manual_seed(0)
    none = Criterion(hidden_words=0.01)(predictions, targets).weighted
    torch.manual_seed(0)
    some = Criterion(hidden_words=0.5)(predictions, targets).weighted
    assert usual.keys() == some.keys()
    for name, loss in usual.items():
        if name.startswith("loss_ce"):
            assert none[name].item() == pytest.approx(loss.item(), rel=1e-5)
            assert some[name].item() != pytest.approx(loss.item(), rel=1e-2)
