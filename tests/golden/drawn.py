"""A very small model with drawn weights, a drawn image and a vocabulary: all made of arithmetic.

Weights come from numpy's legacy generator, whose stream is frozen, and from names that files of
weights use, so neither torch's generator nor a library's renaming of a module changes them.
"""

import zlib
from collections.abc import Iterable
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from odise_cli.model.checkpoint import head_tensors, load_head
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.model.head_keys import to_published
from odise_cli.model.odise import Odise

Supervision = Literal["label", "caption"]

CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 112, "layers": 2, "width": 64, "patch_size": 14},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
GENERATOR = MaskGeneratorConfig(
    feature_channels=128,
    hidden_dim=32,
    num_heads=4,
    num_queries=8,
    encoder_layers=1,
    encoder_feedforward_dim=64,
    decoder_layers=3,
    decoder_feedforward_dim=64,
)
WORDS = (("kite", "paper kite"), ("sky",), ("beach", "sand", "shore"), ("person",))
SEEN = (True, True, False, True)
THINGS = np.array([True, False, False, True])
IMAGE_SIZE = (150, 200)
OUTPUT_SIZE = (105, 140)

_TEXT_WIDTH = 32
_LARGE = ("alpha_cond", "null_embed", "level_embed", "query_feat", "query_embed", "empty_caption")
_EMBEDDINGS = ("positional_embedding", "class_embedding", "token_embedding", "position_embedding")


def config(supervision: Supervision) -> ModelConfig:
    return ModelConfig(
        supervision=supervision,
        short_side=IMAGE_SIZE[0],
        crop_size=128,
        alpha=0.3,
        beta=0.7,
        mask_generator=GENERATOR,
        is_trained=False,
    )


@cache
def build(supervision: Supervision) -> Odise:
    """The model, frozen; one per process, so not to be changed."""
    unet = UNet2DConditionModel(**unet_config(32, _TEXT_WIDTH))
    vae = AutoencoderKL(**vae_config(16, norm_num_groups=8))
    clip = build_clip(CLIP_CONFIG, "drawn", None)
    for name, module in (("unet", unet), ("vae", vae), ("clip", clip)):
        fill(module, name)
    model = Odise(config(supervision), unet=unet, vae=vae, clip=clip)
    head = {
        name: weight(f"head/{name}", tensor.shape)
        for name, tensor in to_published(head_tensors(model), supervision=supervision).items()
    }
    if supervision == "caption":
        # Else nothing is an object.
        head["sem_seg_head.predictor.class_embed.bias"] += torch.tensor([3.0, 0.0])
    load_head(model, "drawn", head, empty_caption=empty_caption())
    return model.requires_grad_(False).eval()


def empty_caption() -> Tensor:
    return weight("empty_caption", (1, 77, _TEXT_WIDTH))


@torch.no_grad()
def fill(module: nn.Module, space: str) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(weight(f"{space}/{name}", parameter.shape))


def weight(name: str, shape: Iterable[int]) -> Tensor:
    """Uniform numbers of a mean and a spread that keep activations of the order of one."""
    shape = tuple(shape)
    random = np.random.RandomState(zlib.crc32(name.encode())).random_sample(shape)
    mean, std = _moments(name, shape)
    # ±√3 is the range of a uniform distribution of unit variance.
    values = mean + std * np.sqrt(3.0) * (2.0 * random - 1.0)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    if not shape:
        return 2.7, 0.0  # temperatures, as logarithms
    if any(part in name for part in _LARGE):
        return 0.0, 1.0
    if any(part in name for part in _EMBEDDINGS):
        return 0.0, 0.5
    if name.endswith("predictor.mask_embed.layers.2.bias"):
        return 0.2, 0.1
    if name.endswith("pixel_decoder.mask_features.bias"):
        return -0.15, 0.1  # against the line above: most mask logits are negative
    if name.endswith(("mask_embed.layers.0.bias", "mask_embed.layers.1.bias")):
        return -0.5, 0.1  # else all queries come out alike
    if len(shape) == 1:
        return (1.0, 0.2) if name.endswith("weight") else (0.0, 0.1)
    fan_in = shape[0] if name.endswith(("proj", "text_projection")) else int(np.prod(shape[1:]))
    gain = 2.0 if "predictor.mask_embed" in name else 1.0
    return 0.0, gain / fan_in**0.5


def image() -> np.ndarray:
    """[150, 200, 3] uint8: sky over sand, a kite with a tail, a striped figure."""
    rows, columns = np.mgrid[: IMAGE_SIZE[0], : IMAGE_SIZE[1]]
    sky = np.stack([90 + rows // 2, 140 + rows // 3, 230 - rows // 4], axis=-1)
    sand = np.stack([210 - columns // 8, 180 - rows // 6, 120 + (rows * columns) % 23], axis=-1)
    pixels = np.where((rows + columns // 10 < 105)[..., None], sky, sand)
    kite = abs(rows - 40) + abs(columns - 60) < 28
    pixels[kite] = (220, 30, 60)
    tail = (abs(columns - 60 - (rows - 68) // 2) < 3) & (rows > 66) & (rows < 100)
    pixels[tail] = (250, 220, 20)
    figure = ((rows - 90) ** 2 + 4 * (columns - 150) ** 2) < 1200
    pixels[figure] = np.where((rows // 5 % 2 == 0)[..., None], (20, 60, 40), (240, 240, 250))[
        figure
    ]
    return pixels.astype(np.uint8)


@torch.no_grad()
def vocabulary(
    model: Odise, words: Iterable[Iterable[str]] = WORDS, seen: Iterable[bool] = SEEN
) -> TextEmbeddings:
    categories = [list(category) for category in words]
    flat = [word for category in categories for word in category]
    photo_ND = model.clip.embed_words([f"a photo of a {word}." for word in flat])
    is_label = model.config.supervision == "label"
    return TextEmbeddings(
        head_ND=model.clip.embed_words(flat) if is_label else photo_ND,
        photo_ND=photo_ND,
        category_N=torch.tensor([k for k, names in enumerate(categories) for _ in names]),
        seen_K=torch.tensor(list(seen)),
    )


def sample(tensor: Tensor, limit: int) -> Tensor:
    """At most `limit` of a tensor's numbers, evenly spread."""
    step = max(1, -(-tensor.numel() // limit))
    return tensor.flatten()[::step].clone()
