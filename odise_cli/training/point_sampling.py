"""Where masks are compared: at points drawn uniformly, or mostly where a mask is uncertain.

Axes: N masks, P points, 2 = (x, y) in 0..1 of the canvas, H W pixels.
Knows nothing of matching or losses.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.models.mask2former.modeling_mask2former import sample_point

Draw = Callable[[tuple[int, int, int], torch.device], Tensor]
"""Random numbers, uniform in 0..1, float32, of a shape and on a device."""


def _draw(shape: tuple[int, int, int], device: torch.device) -> Tensor:
    return torch.rand(shape, device=device)


@dataclass(frozen=True, kw_only=True)
class PointSampler:
    """How many points, how many of them where it matters, and where randomness comes from.

    Source: PointRend's importance sampling, as in Mask2Former.
    """

    num_points: int = 12544
    """P, for matching and for the losses."""
    oversample_ratio: float = 3.0
    """Candidates per point among which the most uncertain are chosen."""
    importance_ratio: float = 0.75
    """Share of the points that are chosen for uncertainty; the rest is uniform."""
    draw: Draw = _draw

    def uniform(self, device: torch.device) -> Tensor:
        """Points [1, P, 2] that all masks of an image share."""
        return self.draw((1, self.num_points, 2), device)

    @torch.no_grad()
    def uncertain(self, mask_logits_NHW: Tensor) -> Tensor:
        """Points [N, P, 2] of each mask's own: the most uncertain first, then uniform ones."""
        num_masks, device = len(mask_logits_NHW), mask_logits_NHW.device
        num_uncertain = int(self.importance_ratio * self.num_points)
        chosen = []
        if num_uncertain:
            num_candidates = int(self.oversample_ratio * self.num_points)
            candidates_NP2 = self.draw((num_masks, num_candidates, 2), device)
            distance_NP = sample_masks(mask_logits_NHW, candidates_NP2).abs()
            nearest_NP = distance_NP.topk(num_uncertain, dim=1, largest=False).indices
            index_NP2 = nearest_NP.unsqueeze(-1).expand(-1, -1, 2)
            chosen.append(candidates_NP2.gather(1, index_NP2))
        if num_uncertain < self.num_points:
            chosen.append(self.draw((num_masks, self.num_points - num_uncertain, 2), device))
        return torch.cat(chosen, dim=1)


def sample_masks(masks_NHW: Tensor, points_NP2: Tensor) -> Tensor:
    """[N, P] values at points, bilinear; beyond the outermost pixel centres towards 0.

    Args:
        masks_NHW: float.
        points_NP2: points of each mask; a first axis of 1 means the same for all.
    """
    points_NP2 = points_NP2.expand(len(masks_NHW), -1, -1)
    return sample_point(masks_NHW.unsqueeze(1), points_NP2, align_corners=False).squeeze(1)
