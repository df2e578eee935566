"""Products by oneDNN: equal to PyTorch's own, and only where they gain."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model import cpu_kernels
from odise_cli.model.cpu_kernels import CpuKernels, attend, linear


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def convolutions(run: object) -> int:
    """How many convolutions a call makes; the detour is one."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()  # type: ignore[operator]
    return sum(event.count for event in profile.key_averages() if event.key == "aten::conv2d")


@pytest.mark.parametrize("shape", [(2048, 64), (3, 700, 64), (2, 5, 300, 64)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_is_the_matrix_product(shape: tuple[int, ...], has_bias: bool) -> None:
    x, weight, bias = drawn(*shape), drawn(96, 64), drawn(96) if has_bias else None
    expected = x.double() @ weight.double().T + (0 if bias is None else bias.double())
    torch.testing.assert_close(linear(x, weight, bias).double(), expected, rtol=1e-5, atol=1e-4)


def test_linear_of_what_is_not_contiguous() -> None:
    x, weight = drawn(2, 64, 900).transpose(1, 2), drawn(192, 64)[::2]
    torch.testing.assert_close(linear(x, weight), x @ weight.T, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("rows_at_a_time", [7, 10**6])
def test_attention_is_softmax_of_products(
    rows_at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_kernels, "_SCORE_BYTES", rows_at_a_time * 4 * 45)
    q, k, v = drawn(2, 3, 50, 8), drawn(2, 3, 45, 8) + 1, drawn(2, 3, 45, 8) - 1
    weights = (q.double() @ k.double().mT / 8**0.5).softmax(-1)
    torch.testing.assert_close(attend(q, k, v).double(), weights @ v.double(), rtol=1e-4, atol=1e-5)


def test_layers_are_replaced_in_the_context_and_nowhere_else() -> None:
    layer, x = nn.Linear(256, 256).requires_grad_(False), drawn(256, 256)  # 2²⁴ products
    assert convolutions(lambda: layer(x)) == 0
    with CpuKernels():
        assert convolutions(lambda: layer(x)) == 1
        torch.testing.assert_close(layer(x), x @ layer.weight.T + layer.bias, rtol=1e-4, atol=1e-5)
    assert convolutions(lambda: layer(x)) == 0


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [(255, torch.float32), (256, torch.bfloat16), (256, torch.float64), (0, torch.float32)],
)
def test_products_that_would_not_gain_are_left_alone(rows: int, dtype: torch.dtype) -> None:
    x, weight = drawn(rows, 256).to(dtype), drawn(256, 256).to(dtype)
    with CpuKernels():
        assert convolutions(lambda: F.linear(x, weight)) == 0
        assert F.linear(x, weight).shape == (rows, 256)


def test_long_attention_is_replaced_unless_it_has_options() -> None:
    q = drawn(1, 1, 1024, 16)
    mask = torch.zeros(1024, 1024)
    expected = F.scaled_dot_product_attention(q, q, q)
    with CpuKernels():
        plain = lambda: F.scaled_dot_product_attention(  # noqa: E731 - run twice
            q, q, q, attn_mask=None, dropout_p=0.0, is_causal=False
        )
        assert convolutions(plain) == 2
        torch.testing.assert_close(plain(), expected, rtol=1e-4, atol=1e-5)
        short = q[:, :, :1023]
        for call in (
            lambda: F.scaled_dot_product_attention(q, q, q, attn_mask=mask),
            lambda: F.scaled_dot_product_attention(q, q, q, mask),
            lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True),
            lambda: F.scaled_dot_product_attention(q, q, q, scale=0.5),
            lambda: F.scaled_dot_product_attention(short, short, short),
        ):
            assert convolutions(call) == 0
