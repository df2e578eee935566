from itertools import permutations

import torch
from torch import Tensor

from odise_cli.training.matcher import MatchingCosts, match
from odise_cli.training.point_sampling import PointSampler

COSTS = MatchingCosts(classification=2.0, mask=5.0, dice=5.0)
# At the four pixel centres of a 2×2 mask nothing is interpolated.
CENTRES = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]])
SAMPLER = PointSampler(num_points=4, draw=lambda shape, _: CENTRES.expand(shape))


def cost(logits: Tensor, probabilities: Tensor, mask: Tensor, category: int) -> float:
    """Of one query with one mask, from the definitions."""
    p, t = logits.flatten().double().sigmoid(), mask.flatten().double()
    cross_entropy = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
    dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    return float(5 * cross_entropy + 5 * dice - 2 * probabilities[category])


def test_is_the_cheapest_of_all_assignments() -> None:
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, 4, 2, 2, generator=generator)
    classes = torch.randn(2, 4, 3, generator=generator)
    masks = [torch.rand(count, 2, 2, generator=generator) > 0.5 for count in (3, 1)]
    labels = [torch.tensor([1, 0, 1]), torch.tensor([0])]
    found = match(logits, classes, masks, labels, costs=COSTS, sampler=SAMPLER)
    for i, (queries, matched) in enumerate(found):
        probabilities = classes[i].softmax(-1)
        best = min(
            permutations(range(4), len(masks[i])),
            key=lambda chosen: sum(
                cost(logits[i, q], probabilities[q], masks[i][n], int(labels[i][n]))
                for n, q in enumerate(chosen)
            ),
        )
        assert dict(zip(matched.tolist(), queries.tolist(), strict=True)) == dict(enumerate(best))


def test_no_masks() -> None:
    (queries, matched), *_ = match(
        torch.zeros(1, 4, 2, 2),
        torch.zeros(1, 4, 3),
        [torch.zeros(0, 2, 2, dtype=torch.bool)],
        [torch.zeros(0, dtype=torch.int64)],
        costs=COSTS,
        sampler=SAMPLER,
    )
    assert len(queries) == len(matched) == 0


def test_predictions_that_are_not_finite_are_matched_last() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 0] = float("nan")
    masks = [torch.ones(2, 2, 2, dtype=torch.bool)]
    found = match(
        logits,
        torch.zeros(1, 3, 2),
        masks,
        [torch.zeros(2, dtype=torch.int64)],
        costs=COSTS,
        sampler=SAMPLER,
    )
    assert found[0][0].tolist() == [1, 2]
