import random

import pytest
import torch

from odise_cli.model.checkpoint import head_tensors
from odise_cli.model.head_keys import from_published, published_key, to_published
from odise_cli.model.odise import Odise
from tests.golden import drawn
from tests.model.golden import Golden

DECODER = "mask_generator.decoder.decoder.layers.4"
ATTENTION = "sem_seg_head.predictor.transformer_self_attention_layers.4.self_attn"


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        ("captioner.alpha_cond", "backbone.feature_extractor.alpha_cond"),
        (
            "captioner.clip_project.linear.bias",
            "backbone.feature_extractor.clip_project.linear.bias",
        ),
        (
            "pyramid.projections.6.shortcut.norm.weight",
            "backbone.feature_projections.6.0.shortcut.norm.weight",
        ),
        (
            "mask_generator.pixel_decoder.adapter_1.0.weight",
            "sem_seg_head.pixel_decoder.adapter_1.weight",
        ),
        (
            "mask_generator.pixel_decoder.layer_1.1.bias",
            "sem_seg_head.pixel_decoder.layer_1.norm.bias",
        ),
        (
            "mask_generator.pixel_decoder.encoder.layers.5.self_attn.value_proj.bias",
            "sem_seg_head.pixel_decoder.transformer.encoder.layers.5.self_attn.value_proj.bias",
        ),
        (
            "mask_generator.pixel_decoder.encoder.layers.0.fc1.weight",
            "sem_seg_head.pixel_decoder.transformer.encoder.layers.0.linear1.weight",
        ),
        (
            f"{DECODER}.cross_attn.in_proj_weight",
            "sem_seg_head.predictor.transformer_cross_attention_layers.4.multihead_attn"
            ".in_proj_weight",
        ),
        (
            f"{DECODER}.final_layer_norm.bias",
            "sem_seg_head.predictor.transformer_ffn_layers.4.norm.bias",
        ),
        (
            "mask_generator.decoder.decoder.mask_predictor.mask_embedder.2.0.weight",
            "sem_seg_head.predictor.mask_embed.layers.2.weight",
        ),
        (
            "mask_generator.mask_pooling.logit_scale",
            "sem_seg_head.predictor.post_mask_embed.logit_scale",
        ),
    ],
)
def test_names_by_hand(ours: str, published: str) -> None:
    assert published_key(ours, supervision="label") == (published, None)


@pytest.mark.parametrize(("letter", "third"), [("q", 0), ("k", 1), ("v", 2)])
def test_thirds_of_self_attention(letter: str, third: int) -> None:
    key = f"{DECODER}.self_attn.{letter}_proj.weight"
    assert published_key(key, supervision="label") == (f"{ATTENTION}.in_proj_weight", third)


def test_heads_are_named_by_supervision() -> None:
    key = "head.text_proj.weight"
    assert published_key(key, supervision="label")[0] == "category_head.text_proj.weight"
    assert published_key(key, supervision="caption")[0] == "word_head.text_proj.weight"


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_published_and_back(supervision: drawn.Supervision) -> None:
    ours = head_tensors(drawn.build(supervision))
    names = list(ours)
    random.Random(0).shuffle(names)
    published = to_published({name: ours[name] for name in names}, supervision=supervision)
    back = from_published(published, ours, supervision=supervision)
    assert all(torch.equal(x, ours[name]) for name, x in back.items())
    assert sum(x.numel() for x in published.values()) == sum(x.numel() for x in ours.values())


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_names_and_shapes_of_the_reference(
    golden: Golden, label_model: Odise, caption_model: Odise, supervision: str
) -> None:
    model = label_model if supervision == "label" else caption_model
    found = to_published(head_tensors(model), supervision=supervision)
    expected = {
        key: shape
        for key, shape, _ in golden.json(f"tiny/{supervision}_keys.json")
        if key != "criterion.empty_weight"
    }
    assert {name: list(x.shape) for name, x in found.items()} == expected
