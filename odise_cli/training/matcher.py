"""Which query answers for which mask: the cheapest one-to-one assignment of an image.

Axes: Q queries, N masks, K classes, P points. Knows nothing of losses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from transformers.models.mask2former.modeling_mask2former import (
    pair_wise_dice_loss,
    pair_wise_sigmoid_cross_entropy_loss,
)

from odise_cli.training.point_sampling import PointSampler, sample_masks

Match = tuple[Tensor, Tensor]
"""Indices of queries, ascending, and of the masks they are matched with; int64, on the CPU."""


@dataclass(frozen=True, kw_only=True)
class MatchingCosts:
    """What a wrong class and a wrong mask weigh against each other."""

    classification: float = 2.0
    mask: float = 5.0
    dice: float = 5.0


@torch.no_grad()
def match(
    mask_logits_BQHW: Tensor,
    class_logits_BQK: Tensor,
    masks: Sequence[Tensor],
    classes: Sequence[Tensor],
    *,
    costs: MatchingCosts,
    sampler: PointSampler,
) -> list[Match]:
    """Match the queries of each image with its masks, on uniformly drawn points.

    Costs that are not finite are the last to be chosen, so that training goes on to a loss that
    says so.

    Args:
        mask_logits_BQHW: predictions of one layer.
        class_logits_BQK: predictions of the same layer.
        masks: for each image [N, H, W], any resolution.
        classes: for each image [N] int64.
        costs: weights of the three parts.
        sampler: how many points, and from where.

    Returns:
        for each image min(Q, N) pairs.
    """
    costs_QN = []
    for logits_QHW, class_logits_QK, masks_NHW, class_N in zip(
        mask_logits_BQHW, class_logits_BQK, masks, classes, strict=True
    ):
        points_1P2 = sampler.uniform(logits_QHW.device)
        predicted_QP = sample_masks(logits_QHW, points_1P2)
        target_NP = sample_masks(masks_NHW.to(logits_QHW), points_1P2)
        cost_QN = (
            costs.mask * pair_wise_sigmoid_cross_entropy_loss(predicted_QP, target_NP)
            + costs.dice * pair_wise_dice_loss(predicted_QP, target_NP)
            - costs.classification * class_logits_QK.softmax(-1)[:, class_N]
        )
        worst = torch.finfo(cost_QN.dtype).max
        costs_QN.append(cost_QN.nan_to_num(nan=worst, posinf=worst, neginf=worst))
    # One transfer from the device for all images.
    all_QN = torch.cat(costs_QN, dim=1).cpu()
    parts = all_QN.split([len(class_N) for class_N in classes], dim=1)
    return [_assign(cost_QN) for cost_QN in parts]


def _assign(cost_QN: Tensor) -> Match:
    queries, masks = linear_sum_assignment(cost_QN.numpy())
    return torch.from_numpy(queries).long(), torch.from_numpy(masks).long()
