"""The compiled diffusion model: captured in one piece, and the same numbers."""

import copy
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from odise_cli.model.compiled import _copied, compile_diffusion
from odise_cli.model.diffusion_features import DiffusionFeatures
from tests.golden import drawn
from tests.model.golden import relative_error


@pytest.fixture
def diffusion() -> DiffusionFeatures:
    torch.compiler.reset()
    diffusion = copy.deepcopy(drawn.build("label").diffusion)
    diffusion.vae_chunk = 2
    return diffusion


def inputs(count: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 64, 64), (77, 32), (128,)
    crops, text, time = (torch.rand(count, *shape, generator=generator) for shape in shapes)
    return crops, text, time


# diffusers asks for torch's version in bf16, through a cache that dynamo does without.
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_the_compiler_captures_computes_the_same(
    diffusion: DiffusionFeatures, dtype: torch.dtype
) -> None:
    diffusion.to(dtype)
    exact = diffusion(*inputs(4))
    # `fullgraph` is an error where Python would have to step in between.
    compile_diffusion(diffusion, backend="eager")
    for tap, expected in zip(diffusion(*inputs(4)), exact, strict=True):
        assert tap.dtype == dtype
        torch.testing.assert_close(tap, expected, rtol=0, atol=0)


@torch.inference_mode()
def test_passes_are_filled_up_to_shapes_that_are_known(diffusion: DiffusionFeatures) -> None:
    exact = diffusion(*inputs(3))
    shapes: dict[str, set[int]] = {"encode": set(), "decode": set(), "denoise": set()}

    def noted(name: str) -> Callable[..., Any]:
        method = getattr(diffusion, name)

        def call(*args: Tensor) -> Any:
            shapes[name].add(len(args[0]))
            return method(*args)

        return call

    for name in shapes:
        setattr(diffusion, name, noted(name))
    diffusion.multiple = 2
    for count in (3, 4, 1):
        assert {len(tap) for tap in diffusion(*inputs(count))} == {count}
    assert shapes == {"encode": {2}, "decode": {2}, "denoise": {2, 4}}
    for tap, expected in zip(diffusion(*inputs(3)), exact, strict=True):
        assert relative_error(tap, expected) < 1e-4


def test_results_of_graphs_outlive_the_next_replay() -> None:
    static = torch.zeros(2)

    def replay(value: Tensor) -> tuple[Tensor, list[Tensor]]:
        static.copy_(value)
        return static, [static]

    call = _copied(replay)
    first, (second,) = call(torch.ones(2))
    call(torch.zeros(2))
    assert first.tolist() == second.tolist() == [1, 1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="inductor needs a C++ compiler on a CPU")
@torch.inference_mode()
def test_compiled_code_computes_the_same(diffusion: DiffusionFeatures) -> None:
    exact = diffusion(*inputs(2))
    compile_diffusion(diffusion)
    for tap, expected in zip(diffusion(*inputs(2)), exact, strict=True):
        assert relative_error(tap, expected) < 1e-4
