import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from odise_cli.model.clip import Clip
from odise_cli.model.clip_features import clip_tap_channels, clip_taps
from odise_cli.model.diffusion_features import TAP_STRIDES
from tests.golden import drawn


@pytest.fixture(scope="module")
def clip() -> Clip:
    return drawn.build("label").clip


@torch.no_grad()
def test_taps_are_the_patch_tokens_of_open_clip(clip: Clip) -> None:
    # A crop of 128 is resized to the tower's 112: 8 × 8 patches of 14.
    crops = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    tokens: list[Tensor] = []
    blocks = clip.model.visual.transformer.resblocks
    hooks = [block.register_forward_hook(lambda _, __, out: tokens.append(out)) for block in blocks]
    resized = F.interpolate(crops, size=(112, 112), mode="bicubic")
    clip.model.encode_image((resized - clip.mean) / clip.std)
    for hook in hooks:
        hook.remove()
    taps = clip_taps(clip, crops)
    # Two layers under eight taps: ceil((tap + 1) · 2 / 8).
    for tap, layer, stride in zip(taps, (0, 0, 0, 0, 1, 1, 1, 1), TAP_STRIDES, strict=True):
        grid = tokens[layer][:, 1:].transpose(1, 2).reshape(2, 64, 8, 8)
        size = (128 // stride, 128 // stride)
        expected = F.interpolate(grid, size=size, mode="bilinear", antialias=True)
        torch.testing.assert_close(tap, expected, rtol=1e-4, atol=1e-4)


def test_channels_are_the_width_of_the_tower(clip: Clip) -> None:
    assert clip_tap_channels(clip) == (64,) * 8


@torch.no_grad()
def test_maps_are_not_turned(clip: Clip) -> None:
    crops = torch.zeros(1, 3, 112, 112)
    changed = crops.clone()
    changed[..., 14:28, 70:84] = 1.0  # the patch in row 1, column 5
    before, after = (clip.embed_patches(x, [1])[0] for x in (crops, changed))
    difference = (after - before).square().sum(dim=1)[0]
    assert divmod(int(difference.argmax()), 8) == (1, 5)
