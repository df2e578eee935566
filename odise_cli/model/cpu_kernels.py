"""Linear layers and long attention by oneDNN, where PyTorch would ask MKL.

On processors that Intel did not make, MKL leaves half of each vector unit idle: 95 instead of 230
GFLOP/s on one core of an AMD EPYC with AVX-512. PyTorch gives fp32 convolutions to oneDNN and
fp32 matrix products to MKL, so a product is handed over as a 1×1 convolution here. Results differ
by the order of summation. Axes: M rows, C inputs, N outputs; B batch, H heads, L T tokens.
Knows nothing of the network that runs under it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_MIN_PRODUCTS = 2**24
"""Multiplications below which the detour costs more than it saves."""
_MIN_TOKENS = 1024
_SCORE_BYTES = 16 * 2**20
"""Of the attention scores that exist at a time: about a CPU's cache."""


class CpuKernels(TorchFunctionMode):
    """A context in which large fp32 products on the CPU go to oneDNN; not for training."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and _gains_by_convolution(*args, **kwargs):
            return linear(*args, **kwargs)
        if func is F.scaled_dot_product_attention and _gains_by_heads(*args, **kwargs):
            return attend(*args)
        return func(*args, **kwargs)


def can_use_cpu_kernels() -> bool:
    """Whether this build of PyTorch has oneDNN for this processor."""
    return torch.backends.mkldnn.is_available() and "AVX" in torch.backends.cpu.get_cpu_capability()


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `torch.nn.functional.linear` computes, arguments named as there."""
    # A picture one pixel wide whose channels lie next to each other: nothing is copied.
    picture_1CM1 = input.reshape(1, -1, 1, input.shape[-1]).permute(0, 3, 1, 2)
    out_1NM1 = F.conv2d(picture_1CM1, weight[:, :, None, None], bias)
    return out_1NM1.permute(0, 2, 3, 1).reshape(*input.shape[:-1], weight.shape[0])


def attend(q_BHLC: Tensor, k_BHTC: Tensor, v_BHTC: Tensor) -> Tensor:
    """Attention without a mask, [B, H, L, C]: one head at a time, in groups of rows."""
    step = max(1, _SCORE_BYTES // (q_BHLC.element_size() * k_BHTC.shape[2]))
    out_BHLC = q_BHLC.new_empty((*q_BHLC.shape[:3], v_BHTC.shape[3]))
    for batch in range(q_BHLC.shape[0]):
        for head in range(q_BHLC.shape[1]):
            q_LC = q_BHLC[batch, head] * q_BHLC.shape[3] ** -0.5
            k_TC = k_BHTC[batch, head].contiguous()
            v_CT = v_BHTC[batch, head].T.contiguous()
            for first in range(0, len(q_LC), step):
                rows = slice(first, first + step)
                scores_RT = linear(q_LC[rows], k_TC)
                out_BHLC[batch, head, rows] = linear(scores_RT.softmax(-1), v_CT)
    return out_BHLC


def _gains_by_convolution(input: Tensor, weight: Tensor, *_: Any, **__: Any) -> bool:
    is_fp32_on_cpu = input.dtype == weight.dtype == torch.float32 and input.device.type == "cpu"
    return is_fp32_on_cpu and input.numel() * weight.shape[0] >= _MIN_PRODUCTS


def _gains_by_heads(q: Tensor, k: Tensor, _v: Tensor, *more: Any, **options: Any) -> bool:
    """Long sequences without any option, as the diffusion model's self-attention has them."""
    others = ("dropout_p", "is_causal", "scale", "enable_gqa")
    is_plain = not more and options.get("attn_mask") is None and not any(map(options.get, others))
    is_fp32_on_cpu = q.dtype == torch.float32 and q.device.type == "cpu"
    return is_plain and is_fp32_on_cpu and q.dim() == 4 and k.shape[2] >= _MIN_TOKENS
