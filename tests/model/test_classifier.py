import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from odise_cli.model.classifier import (
    CategoryHead,
    TextEmbeddings,
    WordHead,
    cosine_logits,
    fuse,
    max_over_words,
    with_objectness,
)

SEEDS = st.integers(0, 2**32 - 1)


def text_of(categories: list[int], *, seed: int = 0, dim: int = 6) -> TextEmbeddings:
    words = torch.randn(len(categories), dim, generator=torch.Generator().manual_seed(seed))
    return TextEmbeddings(
        head_ND=words,
        photo_ND=words.flip(0),
        category_N=torch.tensor(categories),
        seen_K=torch.arange(max(categories) + 1) % 2 == 0,
    )


def test_cosine_by_hand() -> None:
    # (3, 4) has length 5: its cosine with the axes is 0.6 and 0.8.
    logits = cosine_logits(
        torch.tensor([[[3.0, 4.0]]]), torch.tensor([[2.0, 0.0], [0.0, 7.0]]), torch.tensor(10.0)
    )
    torch.testing.assert_close(logits, torch.tensor([[[6.0, 8.0]]]))


def test_best_word_of_each_category() -> None:
    logits = torch.tensor([[[1.0, 5.0, 2.0, -3.0, -4.0]]])
    found = max_over_words(logits, text_of([0, 0, 1, 2, 2]))
    assert found.tolist() == [[[5.0, 2.0, -3.0]]]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), SEEDS)
def test_best_word_is_a_loop_over_words(sizes: list[int], seed: int) -> None:
    categories = [k for k, size in enumerate(sizes) for _ in range(size)]
    logits = torch.randn(2, 3, len(categories), generator=torch.Generator().manual_seed(seed))
    found = max_over_words(logits, text_of(categories))
    for b in range(2):
        for q in range(3):
            for k in range(len(sizes)):
                words = [
                    float(logits[b, q, n]) for n, category in enumerate(categories) if category == k
                ]
                assert float(found[b, q, k]) == max(words)


@given(SEEDS)
def test_another_synonym_never_lowers_a_logit(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    embeds, head = torch.randn(1, 4, 5, generator=generator), WordHead(6, 5)
    with_it = text_of([0, 0, 1, 1, 2], seed=seed)
    without = TextEmbeddings(
        head_ND=with_it.head_ND[[0, 2, 3, 4]],
        photo_ND=with_it.photo_ND[[0, 2, 3, 4]],
        category_N=torch.tensor([0, 1, 1, 2]),
        seen_K=with_it.seen_K,
    )
    with torch.no_grad():
        more = head(embeds, torch.tensor(14.0), with_it)
        fewer = head(embeds, torch.tensor(14.0), without)
    assert (more[..., 0] >= fewer[..., 0] - 1e-5).all()
    torch.testing.assert_close(more[..., 1:], fewer[..., 1:])


def published_fusion(ours: Tensor, clip: Tensor, weight_K: Tensor) -> Tensor:
    """The formula as published: powers of probabilities, then a logarithm."""
    return (ours.softmax(-1) ** (1 - weight_K) * clip.softmax(-1) ** weight_K).log()


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_fusion_is_the_published_formula(seed: int, alpha: float, beta: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    ours, clip = 3 * torch.randn(2, 2, 4, 6, generator=generator, dtype=torch.float64)
    seen = torch.rand(6, generator=generator) < 0.5
    weight = torch.tensor([alpha if s else beta for s in seen.tolist()], dtype=torch.float64)
    found = fuse(ours, clip, seen, alpha=alpha, beta=beta)
    # The weights are held in single precision.
    torch.testing.assert_close(found, published_fusion(ours, clip, weight), rtol=1e-5, atol=1e-6)


def test_fusion_by_hand() -> None:
    # Probabilities (1/4, 3/4) and (1/2, 1/2); alpha 0.5 for the first, beta 1 for the second.
    ours, clip = torch.tensor([[[0.0, math.log(3)]]]), torch.zeros(1, 1, 2)
    found = fuse(ours, clip, torch.tensor([True, False]), alpha=0.5, beta=1.0)
    expected = torch.tensor([[[math.log(math.sqrt(1 / 4 * 1 / 2)), math.log(1 / 2)]]])
    torch.testing.assert_close(found, expected)


def test_fusion_is_finite_where_a_probability_underflows() -> None:
    ours, clip = torch.tensor([[[300.0, 0.0, -5.0]]]), torch.tensor([[[0.0, 200.0, 0.0]]])
    seen = torch.tensor([True, False, False])
    weight = torch.tensor([0.3, 0.7, 0.7])
    assert published_fusion(ours, clip, weight).isinf().any()
    found = fuse(ours, clip, seen, alpha=0.3, beta=0.7)
    assert found.isfinite().all()
    # −0.7 · 0 − 0.3 · 200; −0.3 · 300 − 0.7 · 0; −0.3 · 305 − 0.7 · 200
    torch.testing.assert_close(found, torch.tensor([[[-60.0, -90.0, -231.5]]]))


def test_objectness_becomes_the_last_column() -> None:
    # Equal categories and objectness 0.6: 0.3, 0.3 and 0.4.
    scores = with_objectness(torch.zeros(1, 1, 2), torch.tensor([[[0.6]]]))
    torch.testing.assert_close(scores.exp(), torch.tensor([[[0.3, 0.3, 0.4]]]))


@given(SEEDS)
def test_scores_are_log_probabilities(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    fused = 5 * torch.randn(1, 3, 7, generator=generator)
    objectness = torch.rand(1, 3, 1, generator=generator)
    scores = with_objectness(fused, objectness)
    assert scores.isfinite().all()
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(1, 3), atol=1e-5, rtol=1e-5)
    # Hence the softmax of the inference functions changes nothing but the added epsilon.
    torch.testing.assert_close(scores.softmax(-1), scores.exp(), atol=1e-6, rtol=1e-5)


def test_category_head_against_its_null_embedding() -> None:
    head, text = CategoryHead(6, 5), text_of([0, 1, 1])
    embeds = torch.randn(1, 2, 5)
    with torch.no_grad():
        logits, null = head(embeds, torch.tensor(7.0), text)
        projected = head.text_proj(head.null_embed)[0]
    cosine = torch.cosine_similarity(embeds[0], projected[None], dim=-1)
    torch.testing.assert_close(null[0, :, 0], 7 * cosine)
    assert logits.shape == (1, 2, 2)


def test_vocabulary_on_a_device_in_another_dtype() -> None:
    text = text_of([0, 1, 1]).to(torch.device("cpu"), torch.bfloat16)
    assert (text.head_ND.dtype, text.photo_ND.dtype) == (torch.bfloat16, torch.bfloat16)
    assert (text.category_N.dtype, text.seen_K.dtype) == (torch.int64, torch.bool)
    assert text.num_categories == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fusion_in_half_precision_is_finite(dtype: torch.dtype) -> None:
    ours, clip = (100 * torch.randn(2, 1, 4, 9)).to(dtype)
    fused = fuse(ours, clip, torch.arange(9) < 4, alpha=0.3, beta=0.7)
    assert fused.dtype == dtype
    assert fused.isfinite().all()
