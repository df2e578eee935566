import math

import pytest
import torch

from odise_cli.model.mask_generator import MaskGenerator, MaskPooling, pool_under_masks
from tests.golden import drawn


def test_pooling_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]])
    # Three masks: the first row, the last pixel, nothing; a logit of 0 is outside.
    logits = torch.tensor([[[[5.0, 0.1], [-1.0, 0.0]], [[-1.0, -1], [-1, 2]], [[0.0, 0], [0, 0]]]])
    pooled = pool_under_masks(features, logits)
    expected = torch.tensor([[[1.5, 15.0], [4.0, 40.0], [0.0, 0.0]]])
    torch.testing.assert_close(pooled, expected)


def test_no_gradient_through_the_masks() -> None:
    features = torch.randn(1, 3, 4, 4).requires_grad_()
    logits = torch.randn(1, 2, 4, 4).requires_grad_()
    pool_under_masks(features, logits).sum().backward()
    assert logits.grad is None
    assert features.grad is not None


def test_temperature() -> None:
    pooling = MaskPooling(8)
    # The initial temperature is 0.07; its inverse is never above 100.
    assert float(pooling.scale.detach()) == pytest.approx(1 / 0.07)
    pooling.logit_scale.data.fill_(math.log(1000))
    assert float(pooling.scale.detach()) == 100.0


@pytest.fixture
def pyramid() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 128, 64 // s, 96 // s, generator=generator) for s in (4, 8, 16, 32)]


@torch.no_grad()
def test_predictions_of_every_layer(pyramid: list[torch.Tensor]) -> None:
    outputs = drawn.build("label").mask_generator(pyramid)
    # Three decoder layers, and what the learnable queries predict by themselves.
    assert [tuple(x.shape) for x in outputs.mask_logits] == 4 * [(2, 8, 16, 24)]
    assert [tuple(x.shape) for x in outputs.queries] == 4 * [(2, 8, 32)]
    assert outputs.mask_features.shape == (2, 32, 16, 24)
    # The learnable queries are the same for every image; what follows is not.
    assert torch.equal(outputs.queries[0][0], outputs.queries[0][1])
    assert not torch.equal(outputs.queries[1][0], outputs.queries[1][1])


@torch.no_grad()
def test_queries_are_layer_normed(pyramid: list[torch.Tensor]) -> None:
    generator = drawn.build("label").mask_generator
    norm = generator.decoder.decoder.layernorm
    for queries in generator(pyramid).queries:
        plain = (queries - norm.bias) / norm.weight
        torch.testing.assert_close(plain.mean(-1), torch.zeros(2, 8), atol=1e-4, rtol=0)
        torch.testing.assert_close(plain.var(-1, correction=0), torch.ones(2, 8), atol=1e-3, rtol=0)


def test_only_caption_supervision_has_objectness() -> None:
    assert MaskGenerator(drawn.GENERATOR, "label").class_embed is None
    logits = MaskGenerator(drawn.GENERATOR, "caption").objectness_logits(torch.randn(1, 8, 32))
    assert logits.shape == (1, 8, 2)


def test_no_parameter_is_left_as_found_in_memory() -> None:
    torch.manual_seed(0)
    first = MaskGenerator(drawn.GENERATOR, "caption").state_dict()
    torch.manual_seed(0)
    second = MaskGenerator(drawn.GENERATOR, "caption").state_dict()
    assert all(torch.equal(x, second[name]) for name, x in first.items())
    assert all(x.isfinite().all() for x in first.values())
