"""The tiny model: every part of the real one, small enough for a laptop's CPU.

This is its architecture, from which its training starts; the trained weights are a model folder
that comes with the package. Knows no files.
"""

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.odise import Odise

TINY_NOTICE = (
    "The tiny model knows only the synthetic world that it was trained on (`odise vocab show "
    "world48`); on photographs its masks and names mean little."
)
TINY = ModelConfig(
    supervision="label",
    short_side=256,
    long_side=640,
    crop_size=128,
    mask_generator=MaskGeneratorConfig(
        feature_channels=256,
        hidden_dim=96,
        num_heads=6,
        num_queries=50,
        encoder_layers=3,
        encoder_feedforward_dim=192,
        decoder_layers=4,
        decoder_feedforward_dim=384,
    ),
    is_trained=False,
    notice=TINY_NOTICE,
)
"""The published geometry (crops of 512 on a short side of 1024), a quarter of the size."""
_CLIP: dict[str, Any] = {
    "embed_dim": 64,
    "quick_gelu": True,
    "vision_cfg": {"layers": 6, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 4,
        "layers": 4,
    },
}
_UNET_WIDTHS = (32, 64, 96, 96)
"""Less than Stable Diffusion's factors 1, 2, 4, 4: half of the weights are in the last two."""


def tiny_clip_config(image_size: int) -> dict[str, Any]:
    """open_clip's `model_cfg` of the tiny model's CLIP for square pictures of so many pixels."""
    return {**_CLIP, "vision_cfg": {**_CLIP["vision_cfg"], "image_size": image_size}}


def new_tiny(*, image_size: int, seed: int) -> Odise:
    """The tiny model before it has learned anything, on the CPU.

    Args:
        image_size: of CLIP's pictures.
        seed: of its weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Odise(
            TINY,
            unet=UNet2DConditionModel(
                **{
                    **unet_config(_UNET_WIDTHS[0], _CLIP["text_cfg"]["width"]),
                    "block_out_channels": _UNET_WIDTHS,
                }
            ),
            vae=AutoencoderKL(**vae_config(16, norm_num_groups=8)),
            clip=build_clip(tiny_clip_config(image_size), "tiny", None),
        )
    return model.requires_grad_(False).eval()
