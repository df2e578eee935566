"""Frozen latent diffusion model as a feature extractor: eight taps from one pass.

The walk through diffusers' VAE and UNet is spelled out block by block, because five of the
eight taps lie inside a block and everything behind the last tap of a network is never computed.
Axes: B crops, C channels, H W, T text tokens, E time embedding. Knows nothing of captions,
crops or projections.
"""

import math

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from odise_cli.model.clip import resize_bicubic
from odise_cli.model.config import NUM_TIMESTEPS

TAP_STRIDES = (4, 8, 64, 32, 16, 8, 8, 4)
"""Stride of each tap relative to the crop: VAE encoder, UNet up path, VAE decoder."""
_LATENT_STRIDE = 8
_BETA_START, _BETA_END = 0.00085, 0.012
_NOISE_SIDE = 64


def kept_variances() -> Tensor:
    """How much of a latent's variance is left at each of the 1,000 timesteps, float64.

    Source: Stable Diffusion v1's "scaled linear" schedule.
    """
    start, end = math.sqrt(_BETA_START), math.sqrt(_BETA_END)
    betas = torch.linspace(start, end, NUM_TIMESTEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, dim=0)


def noise_schedule(timestep: int) -> tuple[float, float]:
    """Weights of signal and noise at a timestep, (0.9995749, 0.0291548) at 0."""
    kept = float(kept_variances()[timestep])
    return math.sqrt(kept), math.sqrt(1.0 - kept)


class DiffusionFeatures(nn.Module):
    """A VAE and a UNet that turn crops into eight feature maps.

    Args:
        unet: conditional UNet with four up blocks of three residual blocks each.
        vae: autoencoder with four levels.
        seed: seed of the noise, which is the same for every crop and every run.
        timestep: how much of it there is, and what the UNet is told of it; 0 is as published.
    """

    noise: Tensor
    sinusoid_1E: Tensor

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        *,
        seed: int = 42,
        timestep: int = 0,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.vae = vae
        self.vae_chunk: int | None = None
        """Crops that the VAE takes at once; None is all. Its activations are the memory's peak."""
        self.multiple = 1
        """Passes are filled up to multiples of so many crops: compiled code is for few shapes."""
        self.recomputes = False
        """Whether a backward pass computes the UNet's activations again instead of keeping them.

        At full size they are 3.4 GiB per crop in fp32, for all crops that share a pass.
        """
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, 4, _NOISE_SIDE, _NOISE_SIDE, generator=generator)
        self.register_buffer("noise", noise, persistent=False)
        # Once: the UNet would make it in every pass, and copy a number to the device for it.
        sinusoid_1E = unet.time_proj(torch.tensor([timestep]))
        self.register_buffer("sinusoid_1E", sinusoid_1E, persistent=False)
        self.signal_weight, self.noise_weight = noise_schedule(timestep)

    @property
    def tap_channels(self) -> tuple[int, ...]:
        """Channels of each tap, in the order of the taps."""
        vae_channels = self.vae.config.block_out_channels
        unet_channels = (block.resnets[2].in_channels for block in self.unet.up_blocks)
        return (*vae_channels[2:4], *unet_channels, *vae_channels[3:1:-1])

    def forward(self, crops_B3HW: Tensor, text_BTC: Tensor, time_BE: Tensor) -> list[Tensor]:
        """Extract the taps.

        Args:
            crops_B3HW: RGB in 0..1, sides multiples of 64.
            text_BTC: text condition of the UNet's cross-attention.
            time_BE: vector added to the UNet's time embedding.

        Returns:
            eight maps [B, C, H / stride, W / stride], strides as in `TAP_STRIDES`, in the
            weights' dtype or, where these are fp32, in that of autocast.
        """
        # Asked first: an exported graph has any number of crops, which must not be counted.
        if self.multiple > 1 and (missing := -len(crops_B3HW) % self.multiple):
            filled = (fill_up(x, missing) for x in (crops_B3HW, text_BTC, time_BE))
            return [tap[: len(crops_B3HW)] for tap in self(*filled)]
        device_type = crops_B3HW.device.type
        if self.noise.dtype == torch.float32 or not torch.is_autocast_enabled(device_type):
            return self._extract(crops_B3HW, text_BTC, time_BE)
        # The weights have their precision already: autocast would only take the norms to fp32.
        with torch.autocast(device_type, enabled=False):
            return self._extract(crops_B3HW, text_BTC, time_BE)

    def _extract(self, crops_B3HW: Tensor, text_BTC: Tensor, time_BE: Tensor) -> list[Tensor]:
        dtype = self.noise.dtype
        text_BTC, time_BE = text_BTC.to(dtype), time_BE.to(dtype)
        latents, encoder_taps, decoder_taps = [], [], []
        for chunk in crops_B3HW.split(self.vae_chunk) if self.vae_chunk else (crops_B3HW,):
            latent, taps = self.encode((2.0 * chunk - 1.0).to(dtype))
            latents.append(latent)
            encoder_taps.append(taps)
            decoder_taps.append(self.decode(latent))
        noisy = self.add_noise(torch.cat(latents))
        if self.recomputes and torch.is_grad_enabled():
            unet_taps = checkpoint(self.denoise, noisy, text_BTC, time_BE, use_reentrant=False)
        else:
            unet_taps = self.denoise(noisy, text_BTC, time_BE)
        return [*cat_maps(encoder_taps), *unet_taps, *cat_maps(decoder_taps)]

    def encode(self, images_B3HW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """VAE encoder: scaled latent [B, 4, H/8, W/8] and taps at strides 4 and 8.

        Args:
            images_B3HW: RGB in −1..1.
        """
        encoder = self.vae.encoder
        x = encoder.conv_in(images_B3HW)
        taps = []
        for level, block in enumerate(encoder.down_blocks):
            x = block.resnets[0](x, None)
            if level >= 2:
                taps.append(x)
            for resnet in block.resnets[1:]:
                x = resnet(x, None)
            for downsampler in block.downsamplers or ():
                x = downsampler(x)
        x = encoder.mid_block(x)
        x = encoder.conv_out(encoder.conv_act(encoder.conv_norm_out(x)))
        mean, _ = self.vae.quant_conv(x).chunk(2, dim=1)
        return self.vae.config.scaling_factor * mean, taps

    def decode(self, latents_B4HW: Tensor) -> list[Tensor]:
        """VAE decoder up to its last tap: taps at strides 8 and 4.

        Args:
            latents_B4HW: scaled latents, without noise.
        """
        decoder = self.vae.decoder
        x = self.vae.post_quant_conv(latents_B4HW / self.vae.config.scaling_factor)
        x = decoder.mid_block(decoder.conv_in(x))
        first, second = decoder.up_blocks[0], decoder.up_blocks[1]
        first_tap = first.resnets[1](first.resnets[0](x, None), None)
        x = first.upsamplers[0](first.resnets[2](first_tap, None))
        second_tap = second.resnets[1](second.resnets[0](x, None), None)
        return [first_tap, second_tap]

    def add_noise(self, latents_B4HW: Tensor) -> Tensor:
        """The latents at the timestep, with the same noise for every crop."""
        noise = resize_bicubic(self.noise, (latents_B4HW.shape[-2], latents_B4HW.shape[-1]))
        return self.signal_weight * latents_B4HW + self.noise_weight * noise

    def denoise(self, latents_B4HW: Tensor, text_BTC: Tensor, time_BE: Tensor) -> list[Tensor]:
        """UNet at the timestep up to its last tap: taps at strides 64, 32, 16 and 8.

        Args:
            latents_B4HW: noisy latents.
            text_BTC: text condition.
            time_BE: vector added to the time embedding after its MLP.
        """
        unet = self.unet
        time = unet.time_embedding(self.sinusoid_1E.expand(latents_B4HW.shape[0], -1)) + time_BE
        x = unet.conv_in(latents_B4HW)
        skips = [x]
        for block in unet.down_blocks:
            if getattr(block, "has_cross_attention", False):
                x, block_skips = block(x, time, encoder_hidden_states=text_BTC)
            else:
                x, block_skips = block(x, time)
            skips.extend(block_skips)
        x = unet.mid_block(x, time, encoder_hidden_states=text_BTC)
        taps = []
        for block in unet.up_blocks:
            attentions = getattr(block, "attentions", [None] * len(block.resnets))
            for resnet, attention in zip(block.resnets[:2], attentions[:2], strict=True):
                x = resnet(torch.cat([x, skips.pop()], dim=1), time)
                if attention is not None:
                    x = attention(x, encoder_hidden_states=text_BTC, return_dict=False)[0]
            x = torch.cat([x, skips.pop()], dim=1)
            taps.append(x)
            if block is unet.up_blocks[-1]:
                break
            x = block.resnets[2](x, time)
            if attentions[2] is not None:
                x = attentions[2](x, encoder_hidden_states=text_BTC, return_dict=False)[0]
            x = block.upsamplers[0](x)
        return taps


def fill_up(rows: Tensor, missing: int) -> Tensor:
    """So many rows of zeros at the end."""
    return F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, missing))


def cat_maps(chunks: list[list[Tensor]]) -> list[Tensor]:
    """The k-th maps of all chunks put together, for each k; copies nothing if there is one chunk.

    Takes the maps out of `chunks`, so that each is freed as soon as it is copied.
    """
    if len(chunks) == 1:
        return chunks[0]
    return [torch.cat([chunk.pop(0) for chunk in chunks]) for _ in range(len(chunks[0]))]
