"""Which parameters are trained, which of them decay, and the optimiser over them.

Knows modules and parameters; does not know what a loss is.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from odise_cli.errors import UsageError
from odise_cli.recipe.schema import OptimizerConfig

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True, kw_only=True)
class ParameterCounts:
    """Numbers of a network, not of tensors."""

    trainable: int
    frozen: int


def count_parameters(module: nn.Module) -> ParameterCounts:
    """Count what is trained and what is not; a shared parameter counts once."""
    parameters = list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return ParameterCounts(
        trainable=trainable, frozen=sum(p.numel() for p in parameters) - trainable
    )


def parameter_groups(module: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters, with weight decay and without.

    Without are the parameters of norms, and biases. Everything else decays as in the published
    runs: weights, the learned queries, level and position embeddings, the null embedding, the
    captioner's gates and the temperature.
    """
    decayed: dict[int, nn.Parameter] = {}
    undecayed: dict[int, nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in decayed | undecayed:
                continue
            is_bias = name == "bias" or name.endswith("_bias")
            group = undecayed if is_bias or isinstance(owner, _NORMS) else decayed
            group[id(parameter)] = parameter
    groups = ((decayed, weight_decay), (undecayed, 0.0))
    return [
        {"params": list(members.values()), "weight_decay": decay}
        for members, decay in groups
        if members
    ]


def make_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters.

    Raises:
        UsageError: nothing is trainable.
    """
    groups = parameter_groups(module, weight_decay=config.weight_decay)
    if not groups:
        raise UsageError(
            "optimizer: no parameter is trainable. Expected at least one. Freeze less."
        )
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
