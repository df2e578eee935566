"""A head that has learned nothing yet: the seeded numbers that published runs start from.

Libraries leave some of them to whoever puts their modules together: a stand-alone pixel decoder
of transformers would sample at random places instead of around each pixel.
"""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import init
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention as DeformableAttention,
)

from odise_cli.model.classifier import CategoryHead
from odise_cli.model.feature_pyramid import ConvNorm
from odise_cli.model.odise import Odise

_INITIAL_TEMPERATURE = 0.07
_RESETTABLE = (nn.Linear, nn.Conv2d, nn.Embedding, nn.GroupNorm, nn.LayerNorm)


@torch.no_grad()
def initialise_head(model: Odise, *, seed: int) -> None:
    """Give everything trainable its first values; the same for the same seed.

    Gates of the implicit captioner are closed (its caption is empty at first), the null
    embedding is CLIP's embedding of the empty word, matrices are Xavier's or He's.

    Args:
        model: on the CPU, changed in place.
        seed: of the random numbers.

    Source: Mask2Former's and detectron2's initialisation; paper, supplement.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in (model.captioner, model.pyramid, model.mask_generator, model.head):
            for module in part.modules():
                if isinstance(module, _RESETTABLE):
                    module.reset_parameters()
        _initialise_captioner(model)
        for module in model.pyramid.modules():
            if isinstance(module, ConvNorm):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        _initialise_pixel_decoder(model.mask_generator.pixel_decoder)
        for layer in model.mask_generator.decoder.decoder.layers:
            _initialise_decoder_layer(layer)
        scale = model.mask_generator.mask_pooling.logit_scale
        scale.fill_(math.log(1.0 / _INITIAL_TEMPERATURE))
        if isinstance(model.head, CategoryHead):
            model.head.null_embed.copy_(model.clip.embed_words([""]))


def _initialise_captioner(model: Odise) -> None:
    captioner = model.captioner
    for closed in (
        captioner.alpha_cond,
        captioner.alpha_cond_time_embed,
        captioner.clip_project.positional_embedding,
        captioner.time_embed_project.positional_embedding,
    ):
        init.zeros_(closed)


def _initialise_pixel_decoder(decoder: Any) -> None:
    init.normal_(decoder.level_embed)
    for projection in decoder.input_projections:
        init.xavier_uniform_(projection[0].weight)
        init.zeros_(projection[0].bias)
    for convolution in (decoder.adapter_1[0], decoder.layer_1[0], decoder.mask_projection):
        init.kaiming_uniform_(convolution.weight, a=1)
        if convolution.bias is not None:
            init.zeros_(convolution.bias)
    for layer in decoder.encoder.layers:
        for parameter in layer.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)
        _initialise_deformable_attention(layer.self_attn)


def _initialise_deformable_attention(attention: DeformableAttention) -> None:
    """Each head looks in a direction of its own, its points ever further from the pixel."""
    init.zeros_(attention.sampling_offsets.weight)
    angles_H = torch.arange(attention.n_heads) * (2.0 * math.pi / attention.n_heads)
    directions_H2 = torch.stack([angles_H.cos(), angles_H.sin()], dim=-1)
    directions_H2 = directions_H2 / directions_H2.abs().amax(dim=-1, keepdim=True)
    steps_P1 = torch.arange(1.0, attention.n_points + 1)[:, None]
    offsets_HLP2 = (directions_H2[:, None, None] * steps_P1).repeat(1, attention.n_levels, 1, 1)
    attention.sampling_offsets.bias.copy_(offsets_HLP2.flatten())
    for quiet in (
        attention.attention_weights.weight,
        attention.attention_weights.bias,
        attention.value_proj.bias,
        attention.output_proj.bias,
    ):
        init.zeros_(quiet)


def _initialise_decoder_layer(layer: Any) -> None:
    for parameter in layer.parameters():
        if parameter.dim() > 1:
            init.xavier_uniform_(parameter)
    attention = layer.self_attn
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        # One matrix of three times the height in published runs: Xavier's bound is that of
        # 4 d inputs and outputs, not of 2 d.
        init.xavier_uniform_(projection.weight, gain=math.sqrt(0.5))
    for bias in (
        layer.cross_attn.in_proj_bias,
        layer.cross_attn.out_proj.bias,
        *(getattr(attention, name).bias for name in ("q_proj", "k_proj", "v_proj", "out_proj")),
    ):
        init.zeros_(bias)
