import math

import pytest
import torch

from odise_cli.model.checkpoint import head_tensors
from odise_cli.model.tiny import new_tiny
from odise_cli.training.new_head import initialise_head


@pytest.fixture(scope="module")
def model():
    model = new_tiny(image_size=64, seed=0)
    for tensor in head_tensors(model).values():
        tensor.fill_(float("nan"))  # whatever is forgotten shows
    initialise_head(model, seed=3)
    return model


def test_every_tensor_gets_a_value_that_the_seed_decides(model):
    assert all(tensor.isfinite().all() for tensor in head_tensors(model).values())
    before = {name: tensor.clone() for name, tensor in head_tensors(model).items()}
    state = torch.get_rng_state()
    initialise_head(model, seed=4)
    assert not all(torch.equal(x, before[name]) for name, x in head_tensors(model).items())
    initialise_head(model, seed=3)
    assert all(torch.equal(x, before[name]) for name, x in head_tensors(model).items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_caption_is_empty_at_first(model):
    text, time = model.captioner(torch.randn(2, model.clip.embed_dim))
    assert torch.equal(text, model.captioner.empty_caption.expand_as(text))
    assert not time.any()


def test_heads_look_in_different_directions_ever_further(model):
    attention = model.mask_generator.pixel_decoder.encoder.layers[0].self_attn
    assert not attention.sampling_offsets.weight.any()
    offsets = attention.sampling_offsets.bias.view(6, 3, 4, 2)
    # Six heads: 0°, 60°, 120° …, the longer coordinate of the k-th point is k + 1.
    short = 1 / math.sqrt(3)
    directions = [(1, 0), (short, 1), (-short, 1), (-1, 0), (-short, -1), (short, -1)]
    for head, (x, y) in enumerate(directions):
        for point in range(4):
            expected = torch.tensor([x, y]) * (point + 1.0)
            for level in range(3):
                assert torch.allclose(offsets[head, level, point], expected, atol=1e-5)


def test_attention_is_as_if_it_were_one_matrix(model):
    layer = model.mask_generator.decoder.decoder.layers[0]
    width = layer.self_attn.q_proj.in_features
    bound = math.sqrt(6 / (width + 3 * width))
    for weight in (layer.self_attn.q_proj.weight, layer.cross_attn.in_proj_weight):
        assert 0.98 * bound < float(weight.abs().max()) <= bound


def test_the_null_embedding_is_the_empty_word(model):
    assert torch.equal(model.head.null_embed, model.clip.embed_words([""]))
    assert float(model.mask_generator.mask_pooling.logit_scale.exp()) == pytest.approx(1 / 0.07)
