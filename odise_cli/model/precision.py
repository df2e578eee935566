"""Frozen networks in the precision that they compute with: half the memory, and no casts.

Autocast casts fp32 weights anew in every pass, and whatever goes in and out of a norm besides.
Knows nothing of devices.
"""

import torch
from torch import nn

from odise_cli.model.odise import Odise


def hold_frozen_in(model: Odise, dtype: torch.dtype) -> None:
    """Make bf16 or fp16 the precision of the diffusion model and of CLIP's image tower, in place.

    The diffusion model then computes in it throughout, as its makers run it. Of CLIP only the
    weights of matrix products and convolutions change, which autocast would cast to the same
    bits; its residual stream stays fp32, since what it says of masks is compared finely.
    Afterwards the model runs under autocast for the same precision, and cannot be trained.
    """
    model.diffusion.to(dtype)
    visual = model.clip.model.visual
    for module in visual.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
    visual.proj.data = visual.proj.data.to(dtype)
