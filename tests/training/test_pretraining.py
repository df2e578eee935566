"""The objectives of the tiny model's frozen parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from torch.nn import functional as F

from odise_cli.model.clip import Clip
from odise_cli.model.frozen_weights import build_clip, unet_config, vae_config
from odise_cli.training.pretraining import (
    AutoencoderObjective,
    ContrastiveObjective,
    DenoisingObjective,
    PictureBatch,
    unit_scaling_factor,
)

SMALL_CLIP = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}


@pytest.fixture
def clip() -> Clip:
    torch.manual_seed(0)
    return Clip(build_clip(SMALL_CLIP, "small", None))


@pytest.fixture
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(**vae_config(8, norm_num_groups=4)).eval()


def batch(*captions: str, side_px: int = 64) -> PictureBatch:
    generator = torch.Generator().manual_seed(1)
    colors = torch.rand(len(captions), 3, 1, 1, generator=generator)
    noise = torch.rand(len(captions), 3, side_px, side_px, generator=generator)
    images = (0.8 * colors + 0.2 * noise).clamp(0, 1)
    return PictureBatch(images_B3HW=images, captions=captions, names=captions)


def learn(objective: nn.Module, pictures: PictureBatch, *, num_steps: int) -> list[float]:
    """Total losses of a few steps on one batch."""
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=2e-3)
    totals = []
    for step in range(num_steps):
        torch.manual_seed(step % 2)
        losses = objective(pictures)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        totals.append(losses.total.item())
    return totals


def test_contrast_is_the_cross_entropy_of_similarities(clip: Clip):
    pictures = batch("a ball", "two cars on grass", "a ball")
    losses = ContrastiveObjective(clip)(pictures)
    with torch.no_grad():
        image = F.normalize(clip.embed_images(pictures.images_B3HW), dim=-1).numpy()
        text = F.normalize(clip.embed_words(pictures.captions), dim=-1).numpy()
    logits = clip.logit_scale.item() * image @ text.T
    # The first and the third caption are the same: each belongs to both pictures.
    targets = np.array([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])

    def cross_entropy(rows: np.ndarray) -> float:
        chances = np.exp(rows) / np.exp(rows).sum(axis=1, keepdims=True)
        return float(-(targets * np.log(chances)).sum() / 3)

    assert losses.weighted["loss_image"].item() == pytest.approx(cross_entropy(logits) / 2, 1e-5)
    assert losses.weighted["loss_text"].item() == pytest.approx(cross_entropy(logits.T) / 2, 1e-5)
    assert losses.total.item() == pytest.approx(
        (cross_entropy(logits) + cross_entropy(logits.T)) / 2, 1e-5
    )


def test_contrast_tells_captions_apart(clip: Clip):
    totals = learn(ContrastiveObjective(clip), batch("a ball", "grass", "a red car"), num_steps=16)
    assert totals[-1] < 0.3 * totals[0]


def test_regions_stand_in_the_place_of_pictures(clip: Clip):
    pictures = batch("", "", side_px=32)
    captions = ("a ball", "grass", "a red car", "grass")
    grid = clip.image_size // clip.patch_size
    visible = torch.zeros(2, 2, grid, grid, dtype=torch.bool)
    visible[:, 0, :2], visible[:, 1, 2:] = True, True
    regions = replace(pictures, captions=captions, visible_BRP=visible.flatten(2))
    losses = ContrastiveObjective(clip)(regions)
    with torch.no_grad():
        # What a mask of the same patches gives; its edges are those of patches.
        logits = (visible.float() * 20 - 10).repeat_interleave(clip.patch_size, 2)
        masks = clip.embed_masks(
            list(pictures.images_B3HW), logits.repeat_interleave(clip.patch_size, 3)
        )
        image = F.normalize(masks.flatten(0, 1), dim=-1)
        text = F.normalize(clip.embed_words(captions), dim=-1)
        logits = clip.logit_scale * image @ text.T
        # Two of the captions are the same: each belongs to both regions.
        targets = torch.tensor([[1, 0, 0, 0], [0, 0.5, 0, 0.5], [0, 0, 1, 0], [0, 0.5, 0, 0.5]])
        expected = F.cross_entropy(logits, targets) / 2
    torch.testing.assert_close(losses.weighted["loss_image"].detach(), expected)


def test_restoring_gets_better(vae: AutoencoderKL):
    totals = learn(AutoencoderObjective(vae), batch("", "", side_px=32), num_steps=16)
    assert totals[-1] < 0.8 * totals[0]


def test_restoring_weighs_pixels_edges_and_latents(vae: AutoencoderKL):
    pictures = batch("", "")
    torch.manual_seed(3)
    losses = AutoencoderObjective(vae)(pictures).weighted
    torch.manual_seed(3)
    with torch.no_grad():
        wanted = 2 * pictures.images_B3HW - 1
        posterior = vae.encode(wanted).latent_dist
        error = (vae.decode(posterior.sample()).sample - wanted).numpy()
    across, down = np.diff(error, axis=3), np.diff(error, axis=2)
    edges = (np.abs(across).sum() + np.abs(down).sum()) / (across.size + down.size)
    mean, variance = posterior.mean.numpy(), posterior.var.numpy()
    divergence = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum() / 2
    assert losses["loss_pixels"].item() == pytest.approx(np.abs(error).mean(), 1e-4)
    assert losses["loss_edges"].item() == pytest.approx(edges, 1e-4)
    assert losses["loss_kl"].item() == pytest.approx(1e-6 * divergence, 1e-3)


def test_denoising_trains_the_unet_alone(clip: Clip, vae: AutoencoderKL):
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**unet_config(32, 32))
    objective = DenoisingObjective(unet, vae, clip).train()
    assert unet.training
    assert not vae.training
    assert not clip.training
    totals = learn(objective, batch("a ball", "grass"), num_steps=6)
    # The two steps of noise take turns.
    assert totals[4] < totals[0]
    assert totals[5] < totals[1]
    assert all(p.grad is None for part in (vae, clip) for p in part.parameters())
    assert all(p.requires_grad == p.is_leaf for p in unet.parameters())


def test_latents_are_scaled_to_unit_variance(vae: AutoencoderKL):
    pictures = batch("", "", "")
    factor = unit_scaling_factor(vae, pictures.images_B3HW)
    with torch.no_grad():
        latents = vae.encode(2 * pictures.images_B3HW - 1).latent_dist.mean
    assert np.std(factor * latents.numpy(), ddof=1) == pytest.approx(1.0, 1e-4)
