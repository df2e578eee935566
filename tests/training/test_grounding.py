import math

import pytest
import torch
from torch import Tensor

from odise_cli.training.grounding import grounding_loss
from tests.model.golden import SMOOTH, Check, Golden


@pytest.mark.parametrize("case", ["all", "partial", "one_invalid", "none_valid"])
def test_is_the_reference_s(golden: Golden, check: Check, case: str) -> None:
    expected = golden.unit["ground"][case]
    masks = golden.unit_input("ground_mask")
    losses_L = grounding_loss(
        torch.stack([masks, masks.flip(1)], dim=1),
        golden.unit_input("ground_word"),
        torch.tensor(expected["valid"]).any(dim=1),
        torch.tensor(math.exp(2.66)),
    )
    # The order of queries does not matter.
    check(
        {f"layer {i}": abs(float(x) / expected["loss"] - 1) for i, x in enumerate(losses_L)}, SMOOTH
    )


def pair(masks: Tensor, words: Tensor, scale: float) -> float:
    """Equation 7, word by word and mask by mask."""
    total = 0.0
    for word in words:
        similarities = [scale * float(mask @ word / mask.norm() / word.norm()) for mask in masks]
        weights = [math.exp(x) for x in similarities]
        total += sum(w * x for w, x in zip(weights, similarities, strict=True)) / sum(weights)
    return total / len(words)


def test_is_the_paper_s_formula() -> None:
    generator = torch.Generator().manual_seed(3)
    masks = torch.randn(3, 1, 4, 5, generator=generator)
    words = torch.randn(3, 2, 5, generator=generator)
    scores = [[math.exp(pair(masks[i, 0], words[j], 2.0)) for j in range(3)] for i in range(3)]
    expected = 0.0
    for i in range(3):
        expected -= math.log(scores[i][i] / sum(scores[i])) / 6
        expected -= math.log(scores[i][i] / sum(row[i] for row in scores)) / 6
    found = grounding_loss(masks, words, torch.ones(3, dtype=torch.bool), torch.tensor(2.0))
    assert found.tolist() == pytest.approx([expected], rel=1e-5)
