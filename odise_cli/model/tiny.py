"""The tiny model: every part of the real one, small enough for a laptop's CPU.

Until trained weights are bundled it is a seeded initialisation and says so. Knows no files.
"""

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.odise import Odise

_INIT_SEED = 20
_TEXT_WIDTH = 64

TINY = ModelConfig(
    supervision="label",
    short_side=256,
    long_side=640,
    crop_size=128,
    mask_generator=MaskGeneratorConfig(
        feature_channels=128,
        hidden_dim=64,
        encoder_layers=2,
        encoder_feedforward_dim=128,
        decoder_layers=3,
        decoder_feedforward_dim=128,
    ),
    is_trained=False,
    notice=(
        "The tiny model is UNTRAINED: a seeded initialisation that shows the whole pipeline at "
        "work. Its masks and names mean nothing."
    ),
)
"""The published geometry (crops of 512 on a short side of 1024), a quarter of the size."""
TINY_CLIP = {
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


def build_tiny(*, config: ModelConfig = TINY, seed: int = 42) -> Odise:
    """The tiny model with its seeded initialisation, frozen, on the CPU.

    Args:
        config: the tiny model's, or one that differs in its head.
        seed: of the diffusion model's noise; the weights are always the same.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_INIT_SEED)
        model = Odise(
            config,
            unet=UNet2DConditionModel(**unet_config(32, _TEXT_WIDTH)),
            vae=AutoencoderKL(**vae_config(16, norm_num_groups=8)),
            clip=build_clip(TINY_CLIP, "tiny", None),
            seed=seed,
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
