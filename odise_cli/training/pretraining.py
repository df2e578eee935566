"""What the frozen parts of the tiny model learn from: contrast, reconstruction, denoising.

Each objective holds one network and gives the losses of a batch of captioned pictures; loops,
files and optimisers are none of its business. Axes: B pictures, D embedding, T text tokens,
C text width, H W pixels or latents.
"""

from dataclasses import dataclass, replace

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model.clip import Clip
from odise_cli.model.diffusion_features import kept_variances
from odise_cli.training.criterion import Losses

_KL_WEIGHT = 1e-6
_EMPTY_CAPTIONS = 0.1


@dataclass(frozen=True, kw_only=True)
class PictureBatch:
    """Pictures of one size with what is said of them."""

    images_B3HW: Tensor
    """Float32 RGB in 0..1."""
    captions: tuple[str, ...]
    """One for each picture, or for each region, picture after picture."""
    names: tuple[str, ...]
    """What messages call them."""
    origins_B2: Tensor | None = None
    """int64, row and column of each picture's first patch, if it is a part of a larger one."""
    visible_BRP: Tensor | None = None
    """Bool, which patches, row by row, each of a picture's regions has, if captions tell of it."""

    def to(self, device: torch.device) -> "PictureBatch":
        """The same on a device."""
        return replace(
            self,
            images_B3HW=self.images_B3HW.to(device, non_blocking=True),
            origins_B2=None if self.origins_B2 is None else self.origins_B2.to(device),
            visible_BRP=None if self.visible_BRP is None else self.visible_BRP.to(device),
        )


class ContrastiveObjective(nn.Module):
    """CLIP: pictures and captions that belong together are to be more similar than all others.

    Captions of equal wording in a batch belong to each other's pictures as well.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language
    Supervision" (2021), section 2.3.
    """

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, batch: PictureBatch) -> Losses:
        """Losses of a batch; with regions, these stand in the place of pictures.

        Args:
            batch: pictures of any square size, parts of pictures at their places, or pictures of
                CLIP's own size with regions.
        """
        if batch.visible_BRP is not None:
            image_BD = self.clip.embed_regions(batch.images_B3HW, batch.visible_BRP).flatten(0, 1)
        elif batch.origins_B2 is not None:
            image_BD = self.clip.embed_windows(batch.images_B3HW, batch.origins_B2)
        else:
            image_BD = self.clip.embed_images(batch.images_B3HW)
        image_BD = F.normalize(image_BD, dim=-1)
        # Regions are often worded alike: each wording is embedded once.
        number = {caption: i for i, caption in enumerate(dict.fromkeys(batch.captions))}
        text_ND = F.normalize(self.clip.embed_words(list(number)), dim=-1)
        numbers_B = torch.tensor([number[caption] for caption in batch.captions])
        text_BD = F.embedding(numbers_B.to(text_ND.device), text_ND)
        logits_BB = self.clip.logit_scale * image_BD @ text_BD.T
        targets_BB = _equality(numbers_B).to(logits_BB)
        return _losses(
            loss_image=F.cross_entropy(logits_BB, targets_BB) / 2,
            loss_text=F.cross_entropy(logits_BB.T, targets_BB) / 2,
        )


class AutoencoderObjective(nn.Module):
    """VAE: pictures are to be restored from their latents."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, batch: PictureBatch) -> Losses:
        """Losses of a batch.

        Args:
            batch: sides are multiples of 8.
        """
        wanted = 2.0 * batch.images_B3HW - 1.0
        posterior = self.vae.encode(wanted).latent_dist
        restored = self.vae.decode(posterior.sample()).sample
        return _losses(
            loss_pixels=F.l1_loss(restored, wanted),
            loss_edges=F.l1_loss(_differences(restored), _differences(wanted)),
            loss_kl=_KL_WEIGHT * posterior.kl().mean(),
        )


class DenoisingObjective(nn.Module):
    """UNet: the noise in a latent is to be told, with a caption's help.

    The empty sentence takes the place of a tenth of the captions: it is what the implicit
    captioner starts from.

    Args:
        unet: predicts the noise; the only part that learns.
        vae: gives the latents.
        clip: its text tower encodes the captions.

    Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022),
    equation 3; schedule of Stable Diffusion v1.
    """

    kept: Tensor

    def __init__(self, unet: UNet2DConditionModel, vae: AutoencoderKL, clip: Clip) -> None:
        super().__init__()
        self.unet = unet
        self.vae = vae.requires_grad_(False)
        self.clip = clip.requires_grad_(False)
        self.register_buffer("kept", kept_variances().float(), persistent=False)

    def train(self, mode: bool = True) -> "DenoisingObjective":
        """Switch the UNet; what is frozen is always in evaluation mode."""
        super().train(mode)
        self.vae.eval()
        self.clip.eval()
        return self

    def forward(self, batch: PictureBatch) -> Losses:
        """Losses of a batch; timesteps, noise and left-out captions are torch's random numbers.

        Args:
            batch: sides are multiples of 64.
        """
        with torch.no_grad():
            posterior = self.vae.encode(2.0 * batch.images_B3HW - 1.0).latent_dist
            latents_B4HW = self.vae.config.scaling_factor * posterior.mean
            is_empty_B = torch.rand(len(latents_B4HW)) < _EMPTY_CAPTIONS
            captions = [
                "" if is_empty else caption
                for caption, is_empty in zip(batch.captions, is_empty_B.tolist(), strict=True)
            ]
            text_BTC = self.clip.encode_states(captions)
        steps_B = torch.randint(len(self.kept), (len(latents_B4HW),), device=latents_B4HW.device)
        noise = torch.randn_like(latents_B4HW)
        kept_B111 = self.kept[steps_B][:, None, None, None]
        noisy = kept_B111.sqrt() * latents_B4HW + (1 - kept_B111).sqrt() * noise
        predicted = self.unet(noisy, steps_B, encoder_hidden_states=text_BTC).sample
        return _losses(loss_noise=F.mse_loss(predicted, noise))


@torch.no_grad()
def unit_scaling_factor(vae: AutoencoderKL, images_B3HW: Tensor) -> float:
    """What makes the latents of these pictures vary by 1; Stable Diffusion's is 0.18215.

    Args:
        vae: a trained one.
        images_B3HW: RGB in 0..1.
    """
    latents = vae.encode(2.0 * images_B3HW - 1.0).latent_dist.mean
    return float(1.0 / latents.std())


def _losses(**weighted: Tensor) -> Losses:
    return Losses(weighted=weighted, total=torch.stack(list(weighted.values())).sum())


def _equality(numbers_B: Tensor) -> Tensor:
    """[B, B] rows that add up to 1: which captions are worded as the row's."""
    same_BB = (numbers_B[:, None] == numbers_B).float()
    return same_BB / same_BB.sum(dim=1, keepdim=True)


def _differences(images_B3HW: Tensor) -> Tensor:
    """Differences of neighbours, across and down, flattened."""
    across, down = images_B3HW.diff(dim=-1), images_B3HW.diff(dim=-2)
    return torch.cat([across.flatten(1), down.flatten(1)], dim=1)
