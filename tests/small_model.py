"""A model folder for tests: the tiny model on small images, so that a run takes a second."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from odise_cli.model.checkpoint import CONFIG_FILE, save_model_folder
from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.odise import Odise

SHORT_SIDE, LONG_SIDE = 64, 160
_TEXT_WIDTH = 64
_SMALL = ModelConfig(
    supervision="label",
    crop_size=128,
    mask_generator=MaskGeneratorConfig(
        feature_channels=128,
        hidden_dim=64,
        encoder_layers=2,
        encoder_feedforward_dim=128,
        decoder_layers=3,
        decoder_feedforward_dim=128,
    ),
)
_CLIP = {
    "embed_dim": 64,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 112, "layers": 3, "width": 128, "patch_size": 14},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": _TEXT_WIDTH,
        "heads": 4,
        "layers": 2,
    },
}


def write_small_model(folder: Path) -> Path:
    """Write the tiny model with a configuration for images of 64 pixels, and with opinions."""
    model = _build()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # As they are initialised, all masks would be of nearly the same category.
        for layer in model.mask_generator.mask_pooling.mask_embed.modules():
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, gain=1.5)
                nn.init.zeros_(layer.bias)
    save_model_folder(model, _CLIP, folder)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config |= {"short_side": SHORT_SIDE, "long_side": LONG_SIDE}
    config |= {"notice": "A small model for tests.", "training_words": ["cat"]}
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    return folder


def _build() -> Odise:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        model = Odise(
            _SMALL,
            unet=UNet2DConditionModel(**unet_config(32, _TEXT_WIDTH)),
            vae=AutoencoderKL(**vae_config(16, norm_num_groups=8)),
            clip=build_clip(_CLIP, "small", None),
        )
        _spread_masks(model)
    return model.requires_grad_(False).eval()


def _spread_masks(model: Odise) -> None:
    """Make masks small and different: libraries start training from nearly equal ones."""
    decoder = model.mask_generator.decoder
    for embedding in (decoder.queries_features, decoder.queries_embedder):
        nn.init.normal_(embedding.weight)
    projection = model.mask_generator.pixel_decoder.mask_projection
    blocks = decoder.decoder.mask_predictor.mask_embedder.layers
    for block in blocks:
        nn.init.orthogonal_(block.layers[0].weight, gain=1.5)
    # Opposite biases of queries and features: most mask logits are negative.
    nn.init.ones_(blocks[-1].layers[0].bias)
    nn.init.orthogonal_(projection.weight)
    nn.init.constant_(projection.bias, -3.5 / projection.out_channels**0.5)
