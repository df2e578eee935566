import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from odise_cli.model.diffusion_features import (
    TAP_STRIDES,
    DiffusionFeatures,
    cat_maps,
    noise_schedule,
)
from tests.golden import drawn

TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def diffusion() -> DiffusionFeatures:
    return drawn.build("label").diffusion


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Three crops and their conditions."""
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(3, 3, 128, 128, generator=generator),
        torch.randn(3, 77, 32, generator=generator),
        torch.randn(3, 128, generator=generator),
    )


@pytest.mark.parametrize("timestep", [0, 1, 500, 999])
def test_schedule_of_the_official_library(timestep: int) -> None:
    official = DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
    )
    kept = float(official.alphas_cumprod[timestep])
    signal, noise = noise_schedule(timestep)
    assert signal == pytest.approx(kept**0.5, rel=1e-5)
    assert noise == pytest.approx((1 - kept) ** 0.5, rel=1e-4)


def test_published_weights_of_signal_and_noise() -> None:
    # MODEL.md, step 5.
    assert noise_schedule(0) == pytest.approx((0.9995749, 0.0291548), abs=1e-7)


@torch.no_grad()
def test_shapes_of_the_taps(
    diffusion: DiffusionFeatures, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    taps = diffusion(*inputs)
    expected = [
        (3, channels, 128 // stride, 128 // stride)
        for channels, stride in zip(diffusion.tap_channels, TAP_STRIDES, strict=True)
    ]
    assert [tuple(tap.shape) for tap in taps] == expected


@torch.no_grad()
def test_crops_one_by_one(
    diffusion: DiffusionFeatures, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    together = diffusion(*inputs)
    alone = cat_maps([diffusion(*(x[i : i + 1] for x in inputs)) for i in range(3)])
    for tap, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(tap, expected, **TOLERANCE)


@pytest.mark.parametrize("chunk", [1, 2, 7])
@torch.no_grad()
def test_vae_in_chunks(
    diffusion: DiffusionFeatures, inputs: tuple[Tensor, Tensor, Tensor], chunk: int
) -> None:
    chunked = DiffusionFeatures(diffusion.unet, diffusion.vae)
    chunked.vae_chunk = chunk
    for tap, expected in zip(chunked(*inputs), diffusion(*inputs), strict=True):
        torch.testing.assert_close(tap, expected, **TOLERANCE)


def test_noise_is_the_same_for_every_crop(diffusion: DiffusionFeatures) -> None:
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(42))
    signal_weight, noise_weight = noise_schedule(0)
    latents = torch.randn(2, 4, 64, 64)
    expected = signal_weight * latents + noise_weight * noise
    torch.testing.assert_close(diffusion.add_noise(latents), expected)


def test_noise_is_resized_with_the_latent(diffusion: DiffusionFeatures) -> None:
    added = diffusion.add_noise(torch.zeros(2, 4, 16, 24))
    assert added.shape == (2, 4, 16, 24)
    assert torch.equal(added[0], added[1])
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(42))
    expected = torch.nn.functional.interpolate(noise, (16, 24), mode="bicubic")
    torch.testing.assert_close(added[:1], noise_schedule(0)[1] * expected)


@torch.no_grad()
def test_another_timestep_is_that_of_the_official_unet(diffusion: DiffusionFeatures) -> None:
    later = DiffusionFeatures(diffusion.unet, diffusion.vae, timestep=500)
    signal_weight, noise_weight = noise_schedule(500)
    latents, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 32)
    noise = torch.nn.functional.interpolate(later.noise, (16, 16), mode="bicubic")
    noisy = later.add_noise(latents)
    torch.testing.assert_close(noisy, signal_weight * latents + noise_weight * noise)
    official: list[Tensor] = []
    hooks = [
        block.resnets[2].register_forward_pre_hook(lambda _, inputs: official.append(inputs[0]))
        for block in later.unet.up_blocks
    ]
    later.unet(noisy, 500, encoder_hidden_states=text)
    for hook in hooks:
        hook.remove()
    taps = later.denoise(noisy, text, torch.zeros(1, 128))
    for tap, expected in zip(taps, official, strict=True):
        torch.testing.assert_close(tap, expected, **TOLERANCE)
    assert not torch.allclose(diffusion.denoise(noisy, text, torch.zeros(1, 128))[0], taps[0])


def test_nothing_behind_the_last_tap_is_computed(
    diffusion: DiffusionFeatures, inputs: tuple[Tensor, Tensor, Tensor]
) -> None:
    unet, decoder = diffusion.unet, diffusion.vae.decoder
    behind = [
        unet.up_blocks[-1].resnets[2],
        unet.conv_out,
        decoder.up_blocks[1].resnets[2],
        decoder.up_blocks[2],
        decoder.up_blocks[3],
        decoder.conv_out,
    ]
    called = []
    hooks = [
        module.register_forward_hook(lambda *args: called.append(args[0])) for module in behind
    ]
    with torch.no_grad():
        diffusion(*(x[:1] for x in inputs))
    for hook in hooks:
        hook.remove()
    assert called == []


def test_attention_is_one_kernel(diffusion: DiffusionFeatures) -> None:
    # AttnProcessor2_0 calls torch's scaled_dot_product_attention.
    processors = [type(m.processor) for m in diffusion.modules() if hasattr(m, "processor")]
    assert {processor.__name__ for processor in processors} == {"AttnProcessor2_0"}
    # Two in each of the UNet's 16 transformer blocks, one in each of the VAE's two middles.
    assert len(processors) == 2 * 16 + 2


def test_gradients_reach_the_conditions_through_the_frozen_unet(
    diffusion: DiffusionFeatures,
) -> None:
    text, time = torch.randn(1, 77, 32).requires_grad_(), torch.randn(1, 128).requires_grad_()
    taps = diffusion.denoise(torch.randn(1, 4, 8, 8), text, time)
    sum(tap.square().mean() for tap in taps).backward()
    assert text.grad is not None
    assert time.grad is not None
    assert text.grad.abs().sum() > 0
    assert time.grad.abs().sum() > 0
