"""What is wrong with the predictions of every decoder layer, as weighted losses.

Axes: B images, Q queries, K classes, N masks, W words, D embedding, L layers, H W pixels.
Knows nothing of the network, the optimiser or of how processes talk to each other: it is given
a function that gathers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.mask2former.modeling_mask2former import (
    dice_loss,
    sigmoid_cross_entropy_loss,
)

from odise_cli.training.grounding import grounding_loss
from odise_cli.training.matcher import Match, MatchingCosts, match
from odise_cli.training.point_sampling import PointSampler, sample_masks
from odise_cli.training.targets import MaskTargets

Gather = Callable[[Tensor], Tensor]
"""Rows [B, ...] of this process → rows of all processes [G, ...], in the order of their ranks.

Every process passes the same shape, and gradients flow back to the process that a row is from:
summed over processes, as torch.distributed.nn.functional.all_gather does. DDP's mean over
processes then gives the gradient that one process would have with the joint batch.
"""
OBJECT = 0
"""The class of every mask with caption supervision; the other one is "no object"."""


def only_process(rows: Tensor) -> Tensor:
    """The gathering of a run with a single process."""
    return rows


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """What each loss counts in the total."""

    classification: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    grounding: float = 1.0
    no_object: float = 0.1
    """Weight of queries without a mask within the classification loss."""


@dataclass(frozen=True, kw_only=True)
class LayerPredictions:
    """What one decoder layer predicts of a batch."""

    mask_logits_BQHW: Tensor
    class_logits_BQK: Tensor
    """The last class is "no object"; with caption supervision the only other is `OBJECT`."""
    mask_embed_BQD: Tensor
    """Not normalised."""


@dataclass(frozen=True, kw_only=True)
class CaptionEmbeddings:
    """What masks are grounded in."""

    word_embed_BWD: Tensor
    """Embedded words of each image's caption, empty ones included; not normalised."""
    scale: Tensor
    """Inverse temperature."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What the network predicts of a batch in training."""

    layers: tuple[LayerPredictions, ...]
    """In the order of the network; the last layer's are the network's answer."""
    captions: CaptionEmbeddings | None = None
    """With caption supervision."""


@dataclass(frozen=True)
class Losses:
    """The losses of a batch."""

    weighted: dict[str, Tensor]
    """Scalars times their weights: `loss_ce`, `loss_mask`, `loss_dice` and, with captions,
    `loss_mask_word` of the last layer; with `_0`, `_1` … of the layers before it, in order."""
    total: Tensor
    """Their sum, what the gradient is taken of."""


@dataclass(frozen=True, kw_only=True)
class _LayerSums:
    """Losses of a layer before they are divided by counts that concern all processes."""

    classification: Tensor
    class_weight: Tensor
    mask: Tensor
    dice: Tensor


class Criterion:
    """Matching and losses; has no parameters.

    Args:
        weights: of the losses.
        costs: of the matching.
        sampler: of the points at which masks are compared.
        gather: over processes; called equally often by all of them.
        hidden_words: share of the categories that each image has to do without, 0..1; torch's
            random numbers choose them. The published runs hide none.
    """

    def __init__(
        self,
        *,
        weights: LossWeights | None = None,
        costs: MatchingCosts | None = None,
        sampler: PointSampler | None = None,
        gather: Gather = only_process,
        hidden_words: float = 0.0,
    ) -> None:
        self.weights = weights or LossWeights()
        self.costs = costs or MatchingCosts()
        self.sampler = sampler or PointSampler()
        self.gather = gather
        self.hidden_words = hidden_words

    def __call__(self, predictions: Predictions, targets: Sequence[MaskTargets]) -> Losses:
        """Compute every loss of a batch, in float32 whatever autocast is on.

        Counts that losses are divided by (masks, weights of classes) are means over all
        processes, so that the mean over processes is the loss of the joint batch.

        Args:
            predictions: of B canvases.
            targets: B of them.
        """
        device = predictions.layers[-1].mask_logits_BQHW.device
        with torch.autocast(device.type, enabled=False):
            # The last layer first: the order of random draws is the reference's.
            *earlier, last = predictions.layers
            ordered = {"": last} | {f"_{i}": layer for i, layer in enumerate(earlier)}
            weighted = self._mask_losses(ordered, targets)
            if predictions.captions is not None:
                weighted |= self._grounding_losses(ordered, predictions.captions, targets)
        return Losses(weighted, torch.stack(list(weighted.values())).sum())

    def _mask_losses(
        self, layers: dict[str, LayerPredictions], targets: Sequence[MaskTargets]
    ) -> dict[str, Tensor]:
        some_BQK = next(iter(layers.values())).class_logits_BQK
        hidden_BK = choose_hidden(self.hidden_words, some_BQK) if self.hidden_words else None
        sums = {
            suffix: self._layer_sums(layer, targets, hidden_BK) for suffix, layer in layers.items()
        }
        num_masks = sum(len(target.masks_NHW) for target in targets)
        some = next(iter(sums.values())).class_weight
        counts = [some.new_tensor(float(num_masks)), *(x.class_weight for x in sums.values())]
        num_masks_mean, *class_weights = self.gather(torch.stack(counts)[None]).mean(0).unbind()
        num_masks_mean = num_masks_mean.clamp(min=1.0)
        weighted = {}
        for (suffix, layer), class_weight in zip(sums.items(), class_weights, strict=True):
            classification = self.weights.classification * layer.classification / class_weight
            weighted[f"loss_ce{suffix}"] = classification
            weighted[f"loss_mask{suffix}"] = self.weights.mask * layer.mask / num_masks_mean
            weighted[f"loss_dice{suffix}"] = self.weights.dice * layer.dice / num_masks_mean
        return weighted

    def _layer_sums(
        self, layer: LayerPredictions, targets: Sequence[MaskTargets], hidden_BK: Tensor | None
    ) -> _LayerSums:
        mask_logits_BQHW = layer.mask_logits_BQHW.float()
        class_logits_BQK = layer.class_logits_BQK.float()
        classes = [_classes(target) for target in targets]
        masks = [target.masks_NHW for target in targets]
        matches = self.match(mask_logits_BQHW, class_logits_BQK, masks, classes)

        none = class_logits_BQK.shape[-1] - 1
        class_BQ = torch.full_like(class_logits_BQK[..., 0], none, dtype=torch.int64)
        for row_Q, class_N, (queries, found) in zip(class_BQ, classes, matches, strict=True):
            row_Q[queries.to(row_Q.device)] = class_N[found.to(class_N.device)]
        weight_K = class_logits_BQK.new_ones(none + 1)
        weight_K[none] = self.weights.no_object
        if hidden_BK is None:
            classification = F.cross_entropy(
                class_logits_BQK.flatten(0, 1), class_BQ.flatten(), weight_K, reduction="sum"
            )
        else:
            losses_BQ = losses_without_words(class_logits_BQK, class_BQ, hidden_BK)
            classification = (weight_K[class_BQ] * losses_BQ).sum()

        # [N, H, W] of all matched masks together, from here on.
        logits = torch.cat([x[q] for x, (q, _) in zip(mask_logits_BQHW, matches, strict=True)])
        points = self.sampler.uncertain(logits)
        labels = torch.cat(
            [
                sample_masks(masks_NHW[found].to(logits), image_points)
                for masks_NHW, (_, found), image_points in zip(
                    masks, matches, points.split([len(q) for q, _ in matches]), strict=True
                )
            ]
        )
        sampled = sample_masks(logits, points)
        return _LayerSums(
            classification=classification,
            class_weight=weight_K[class_BQ].sum(),
            mask=sigmoid_cross_entropy_loss(sampled, labels, 1),
            dice=dice_loss(sampled, labels, 1),
        )

    def match(
        self,
        mask_logits_BQHW: Tensor,
        class_logits_BQK: Tensor,
        masks: Sequence[Tensor],
        classes: Sequence[Tensor],
    ) -> list[Match]:
        """Match queries with masks; see `matcher.match`."""
        return match(
            mask_logits_BQHW,
            class_logits_BQK,
            masks,
            classes,
            costs=self.costs,
            sampler=self.sampler,
        )

    def _grounding_losses(
        self,
        layers: dict[str, LayerPredictions],
        captions: CaptionEmbeddings,
        targets: Sequence[MaskTargets],
    ) -> dict[str, Tensor]:
        has_words_B = torch.tensor([any(target.words or ()) for target in targets])
        embeds_BLQD = torch.stack([x.mask_embed_BQD.float() for x in layers.values()], dim=1)
        losses_L = grounding_loss(
            self.gather(embeds_BLQD),
            self.gather(captions.word_embed_BWD.float()),
            self.gather(has_words_B.to(embeds_BLQD)) > 0,
            captions.scale.float(),
        )
        return {
            f"loss_mask_word{suffix}": self.weights.grounding * loss
            for suffix, loss in zip(layers, losses_L.unbind(), strict=True)
        }


def _classes(target: MaskTargets) -> Tensor:
    """[N] int64: categories, or `OBJECT` for every mask."""
    if target.category_N is not None:
        return target.category_N
    return torch.full((len(target.masks_NHW),), OBJECT, device=target.masks_NHW.device)


def choose_hidden(share: float, class_logits_BQK: Tensor) -> Tensor:
    """[B, K] bool: which words each image has to do without; never all, never "no object".

    Args:
        share: of the categories, 0..1.
        class_logits_BQK: the last class is "no object".
    """
    num_images, _, num_classes = class_logits_BQK.shape
    num_hidden = min(int(share * (num_classes - 1)), num_classes - 2)
    order_BK = torch.rand(num_images, num_classes - 1).argsort(dim=-1)
    return F.pad(order_BK < num_hidden, (0, 1)).to(class_logits_BQK.device)


def losses_without_words(class_logits_BQK: Tensor, class_BQ: Tensor, hidden_BK: Tensor) -> Tensor:
    """[B, Q] cross-entropy over the words that an image has.

    A mask whose word is hidden is to be any of the others, and not "no object": its loss is
    -log(1 - p("no object")).

    Args:
        class_logits_BQK: the last class is "no object".
        class_BQ: int64, the true class.
        hidden_BK: which words are hidden.
    """
    visible_BQK = class_logits_BQK.masked_fill(hidden_BK[:, None], float("-inf"))
    log_p_BQK = visible_BQK.log_softmax(-1)
    own_BQ = log_p_BQK.gather(-1, class_BQ[..., None]).squeeze(-1)
    some_BQ = log_p_BQK[..., :-1].logsumexp(-1)
    return -torch.where(hidden_BK.gather(1, class_BQ), some_BQ, own_BQ)
