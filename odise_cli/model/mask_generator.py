"""Feature pyramid → class-agnostic masks, and an embedding for each by pooling under it.

Pixel decoder and masked-attention decoder are transformers' Mask2Former modules.
Axes: B images, Q queries, D hidden width, H W at stride 4. Knows nothing of words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerMLPPredictionHead,
    Mask2FormerPixelDecoder,
    Mask2FormerTransformerModule,
)

from odise_cli.model.config import MaskGeneratorConfig

_INITIAL_TEMPERATURE = 0.07
_MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class MaskOutputs:
    """Predictions of every decoder layer; the first are the learnable queries' own."""

    mask_logits: tuple[Tensor, ...]
    """Each [B, Q, H, W], stride 4 of the canvas."""
    queries: tuple[Tensor, ...]
    """Each [B, Q, D], layer-normed decoder output."""
    mask_features: Tensor
    """[B, D, H, W], what the masks are pooled from."""


class MaskPooling(nn.Module):
    """An embedding per mask: features pooled under the mask, plus the query itself."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(1.0 / _INITIAL_TEMPERATURE).log())
        self.pool_proj = nn.Sequential(nn.LayerNorm(hidden_dim), nn.Linear(hidden_dim, hidden_dim))
        self.mask_embed = nn.Sequential(
            nn.LayerNorm(hidden_dim),
            Mask2FormerMLPPredictionHead(hidden_dim, hidden_dim, hidden_dim),
        )

    def forward(
        self, queries_BQD: Tensor, mask_logits_BQHW: Tensor, mask_features_BDHW: Tensor
    ) -> Tensor:
        """[B, Q, D] mask embeddings, not normalised.

        Source: paper, section 3.4 (mask pooling).
        """
        pooled_BQD = pool_under_masks(mask_features_BDHW, mask_logits_BQHW)
        return self.mask_embed(self.pool_proj(pooled_BQD) + queries_BQD)

    @property
    def scale(self) -> Tensor:
        """Inverse temperature of the similarities, at most 100."""
        return self.logit_scale.exp().clamp(max=_MAX_LOGIT_SCALE)


def pool_under_masks(features_BDHW: Tensor, mask_logits_BQHW: Tensor) -> Tensor:
    """Mean of the features under each hard mask, [B, Q, D]; 0 under an empty mask.

    A mask is where its probability exceeds one half; no gradient flows through it.
    """
    hard_BQHW = (mask_logits_BQHW.detach() > 0).to(features_BDHW.dtype)
    weights_BQP = hard_BQHW.flatten(2)
    # Pixels are counted: at least 1 is the published "+ 1e-8", and holds in half precision.
    weights_BQP = weights_BQP / weights_BQP.sum(dim=-1, keepdim=True).clamp(min=1)
    return weights_BQP @ features_BDHW.flatten(2).transpose(1, 2)


class MaskGenerator(nn.Module):
    """Mask2Former without its classes; with caption supervision, a binary objectness instead."""

    def __init__(
        self, config: MaskGeneratorConfig, supervision: Literal["label", "caption"]
    ) -> None:
        super().__init__()
        library_config = _library_config(config)
        channels = [config.feature_channels] * 4
        self.pixel_decoder = Mask2FormerPixelDecoder(library_config, feature_channels=channels)
        self.decoder = Mask2FormerTransformerModule(config.hidden_dim, library_config)
        self.mask_pooling = MaskPooling(config.hidden_dim)
        self.class_embed = nn.Linear(config.hidden_dim, 2) if supervision == "caption" else None
        # transformers leaves this parameter as it finds it in memory.
        nn.init.normal_(self.pixel_decoder.level_embed)

    def forward(self, pyramid: Sequence[Tensor]) -> MaskOutputs:
        """Predict the masks of each layer.

        Args:
            pyramid: maps [B, C, H, W] at strides 4, 8, 16, 32.
        """
        decoded = self.pixel_decoder(
            list(pyramid), output_attentions=False, output_hidden_states=False, return_dict=True
        )
        layers = self.decoder(
            multi_scale_features=decoded.multi_scale_features, mask_features=decoded.mask_features
        )
        return MaskOutputs(
            mask_logits=layers.masks_queries_logits,
            queries=tuple(x.transpose(0, 1) for x in layers.intermediate_hidden_states),
            mask_features=decoded.mask_features,
        )

    def objectness_logits(self, queries_BQD: Tensor) -> Tensor:
        """[B, Q, 2] logits of object, no object; caption supervision only."""
        assert self.class_embed is not None
        return self.class_embed(queries_BQD)


def _library_config(config: MaskGeneratorConfig) -> Mask2FormerConfig:
    """Transformers counts the learnable queries' prediction as a decoder layer."""
    return Mask2FormerConfig(
        feature_size=config.hidden_dim,
        mask_feature_size=config.hidden_dim,
        hidden_dim=config.hidden_dim,
        num_attention_heads=config.num_heads,
        num_queries=config.num_queries,
        encoder_layers=config.encoder_layers,
        encoder_feedforward_dim=config.encoder_feedforward_dim,
        decoder_layers=config.decoder_layers + 1,
        dim_feedforward=config.decoder_feedforward_dim,
        dropout=0.0,
        feature_strides=[4, 8, 16, 32],
        common_stride=4,
    )
