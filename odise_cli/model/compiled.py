"""The diffusion model compiled, for the few shapes that its crops have.

Compilers fuse norms, activations and casts, which pass the memory more often than the products
do. Knows nothing of devices, and not whether the time that compiling takes is won again.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from odise_cli.model.diffusion_features import DiffusionFeatures

_PARTS = ("encode", "decode", "denoise")

Mode = Literal["default", "reduce-overhead"]


def compile_diffusion(
    diffusion: DiffusionFeatures, *, mode: Mode = "default", backend: str = "inductor"
) -> None:
    """Compile a diffusion model in place; each shape is compiled when it is first met.

    Passes are filled up to whole chunks of the VAE, so that the VAE has one shape and the UNet as
    many as a pass has chunks.

    Args:
        diffusion: frozen; `vae_chunk` is set and stays.
        mode: "reduce-overhead" records CUDA graphs besides.
        backend: of `torch.compile`; CUDA graphs need "inductor".
    """
    assert diffusion.vae_chunk is not None
    diffusion.multiple = diffusion.vae_chunk
    for name in _PARTS:
        compiled = torch.compile(
            getattr(diffusion, name),
            fullgraph=True,
            dynamic=False,
            backend=backend,
            mode=mode if backend == "inductor" else None,
        )
        setattr(diffusion, name, _copied(compiled) if mode == "reduce-overhead" else compiled)


def _copied(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """The same with results of its own: the next replay of a graph writes where this one did.

    Source: PyTorch's page on CUDA graph trees (each call frees what the one before returned).
    """

    def call(*args: Tensor) -> Any:
        return tree_map(torch.clone, compiled(*args))

    return call
