"""A model folder on which a training step takes a blink: crops of 64, twelve queries."""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from odise_cli.model.checkpoint import save_model_folder
from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.odise import Odise
from odise_cli.training.new_head import initialise_head

_TEXT_WIDTH = 32
_CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 28, "layers": 2, "width": 64, "patch_size": 14},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": _TEXT_WIDTH,
        "heads": 4,
        "layers": 1,
    },
}
_CONFIG = ModelConfig(
    supervision="label",
    short_side=64,
    long_side=128,
    crop_size=64,
    mask_generator=MaskGeneratorConfig(
        # Groups of one channel would normalise the coarsest tap, a single pixel here, to noise.
        feature_channels=256,
        hidden_dim=32,
        num_queries=12,
        encoder_layers=1,
        encoder_feedforward_dim=32,
        decoder_layers=1,
        decoder_feedforward_dim=32,
    ),
)


def write_training_model(folder: Path, **changes: object) -> Path:
    """Write it with seeded weights, and with changes to its configuration."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = Odise(
            replace(_CONFIG, **changes),  # type: ignore[arg-type]
            unet=UNet2DConditionModel(**unet_config(32, _TEXT_WIDTH)),
            vae=AutoencoderKL(**vae_config(8, norm_num_groups=8)),
            clip=build_clip(_CLIP, "test", None),
        ).requires_grad_(False)
    initialise_head(model, seed=5)
    save_model_folder(model.eval(), _CLIP, folder)
    return folder
