"""A model folder for tests: the tiny model on small images, so that a run takes a second."""

import json
from pathlib import Path

import torch
from torch import nn

from odise_cli.model.checkpoint import CONFIG_FILE, save_model_folder
from odise_cli.model.tiny import TINY_CLIP, build_tiny

SHORT_SIDE, LONG_SIDE = 64, 160


def write_small_model(folder: Path) -> Path:
    """Write the tiny model with a configuration for images of 64 pixels, and with opinions."""
    model = build_tiny()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # As they are initialised, all masks would be of nearly the same category.
        for layer in model.mask_generator.mask_pooling.mask_embed.modules():
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, gain=1.5)
                nn.init.zeros_(layer.bias)
    save_model_folder(model, TINY_CLIP, folder)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config |= {"short_side": SHORT_SIDE, "long_side": LONG_SIDE}
    config |= {"notice": "A small model for tests.", "training_words": ["cat"]}
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    return folder
