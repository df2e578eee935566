"""Frozen networks held in half precision, beside autocast of their fp32 weights."""

import copy

import pytest
import torch
from torch import Tensor

from odise_cli.model.odise import Odise
from odise_cli.model.precision import hold_frozen_in
from tests.golden import drawn
from tests.model.golden import relative_error


@pytest.fixture(scope="module")
def model() -> Odise:
    return drawn.build("label")


@pytest.fixture(scope="module")
def crops(model: Odise) -> Tensor:
    side = model.config.crop_size
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", params=[torch.bfloat16, torch.float16])
def held(request: pytest.FixtureRequest, model: Odise) -> Odise:
    copied = copy.deepcopy(model)
    hold_frozen_in(copied, request.param)
    return copied


def precision_of(model: Odise) -> torch.dtype:
    return model.diffusion.noise.dtype


@torch.inference_mode()
def test_clip_is_to_the_bit_what_autocast_makes_of_it(
    model: Odise, held: Odise, crops: Tensor
) -> None:
    masks = torch.randn(2, 5, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=precision_of(held)):
        assert torch.equal(held.clip.embed_images(crops), model.clip.embed_images(crops))
        of_masks = held.clip.embed_masks(list(crops), masks)
        assert torch.equal(of_masks, model.clip.embed_masks(list(crops), masks))


def test_words_are_embedded_in_fp32_as_before(model: Odise, held: Odise) -> None:
    words = ["cat", "a photo of a sofa."]
    assert torch.equal(held.embed_words(words), model.embed_words(words))


@torch.inference_mode()
def test_taps_are_as_near_to_fp32_as_those_of_autocast(
    model: Odise, held: Odise, crops: Tensor
) -> None:
    exact = model.extract_taps(crops)
    with torch.autocast("cpu", dtype=precision_of(held)):
        cast, own = model.extract_taps(crops), held.extract_taps(crops)
    assert {tap.dtype for tap in own} == {precision_of(held)}
    for tap, autocast, expected in zip(own, cast, exact, strict=True):
        error = relative_error(tap.float(), expected)
        # A few units of the last place, after dozens of layers.
        assert error < 8 * torch.finfo(precision_of(held)).eps
        assert error < 1.5 * relative_error(autocast.float(), expected)


def test_the_frozen_networks_take_half_the_memory(model: Odise, held: Odise) -> None:
    def num_bytes(module: torch.nn.Module) -> int:
        return sum(p.numel() * p.element_size() for p in module.parameters())

    assert 2 * num_bytes(held.diffusion) == num_bytes(model.diffusion)
    visual, before = held.clip.model.visual, model.clip.model.visual
    # Norms and positions stay.
    assert num_bytes(visual) < 0.6 * num_bytes(before)
    for part in ("pyramid", "mask_generator", "captioner", "head"):
        assert num_bytes(getattr(held, part)) == num_bytes(getattr(model, part))
