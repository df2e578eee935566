"""The published architecture: names, shapes and counts, without its weights.

The frozen parts are built on the meta device, which holds shapes and no numbers.
"""

import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from odise_cli.model.checkpoint import head_tensors
from odise_cli.model.config import PUBLISHED_CAPTION, PUBLISHED_LABEL, ModelConfig
from odise_cli.model.diffusion_features import TAP_STRIDES
from odise_cli.model.frozen_weights import unet_config, vae_config
from odise_cli.model.head_keys import to_published
from odise_cli.model.odise import Odise
from tests.model.golden import Golden

# MODEL.md, "Training" and "Diffusion features".
TRAINABLE = {"label": 28_067_009, "caption": 28_066_755}
UNET, VAE, CLIP = 859_520_964, 83_653_863, 427_944_193
TAP_CHANNELS = (512, 512, 2560, 1920, 960, 640, 512, 512)


def build(config: ModelConfig) -> Odise:
    clip_config = open_clip.get_model_config("ViT-L-14-336-quickgelu")
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config(320, 768))
        vae = AutoencoderKL(**vae_config(128))
        clip = open_clip.model.CLIP(**clip_config)
    return Odise(config, unet=unet, vae=vae, clip=clip)


@pytest.fixture(scope="module", params=[PUBLISHED_LABEL, PUBLISHED_CAPTION], ids=TRAINABLE)
def model(request: pytest.FixtureRequest) -> Odise:
    return build(request.param)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameter_counts(model: Odise) -> None:
    frozen = {"unet": UNET, "vae": VAE, "clip": CLIP}
    parts = {
        "unet": model.diffusion.unet,
        "vae": model.diffusion.vae,
        "clip": model.clip,
    }
    assert {name: count(part) for name, part in parts.items()} == frozen
    assert count(model) - sum(frozen.values()) == TRAINABLE[model.config.supervision]


def test_taps(model: Odise) -> None:
    assert model.diffusion.tap_channels == TAP_CHANNELS
    assert len(TAP_STRIDES) == len(TAP_CHANNELS)


def test_quick_gelu(model: Odise) -> None:
    assert type(model.clip.model.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"


def test_published_names_and_shapes(model: Odise, golden: Golden) -> None:
    supervision = model.config.supervision
    found = to_published(head_tensors(model), supervision=supervision)
    expected = {
        key: shape
        for key, shape, _ in golden.json(f"full_{supervision}_keys.json")
        # The weight of "no object" in the loss: of no use without a criterion.
        if key != "criterion.empty_weight"
    }
    assert {name: list(tensor.shape) for name, tensor in found.items()} == expected


def test_parameters_of_each_part(model: Odise, golden: Golden) -> None:
    supervision = model.config.supervision
    expected = golden.json(f"full/params_{supervision}.json")
    published = to_published(head_tensors(model), supervision=supervision)
    counted = {
        part: sum(x.numel() for name, x in published.items() if name.startswith(part))
        for part in expected["trainable"]
    }
    # "alpha_cond" is the beginning of another name, too.
    counted["backbone.feature_extractor.alpha_cond"] -= counted[
        "backbone.feature_extractor.alpha_cond_time_embed"
    ]
    assert counted == expected["trainable"]
    assert sum(counted.values()) == expected["trainable_total"]
