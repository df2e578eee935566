import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model.diffusion_features import TAP_STRIDES
from odise_cli.model.feature_pyramid import (
    PYRAMID_STRIDES,
    BottleneckBlock,
    ConvNorm,
    FeaturePyramid,
    crop_boxes,
)

SIDES = st.integers(1, 20).map(lambda n: 64 * n)


@given(SIDES, SIDES, st.sampled_from([64, 128, 512]))
def test_crops_cover_the_canvas(height: int, width: int, crop_size: int) -> None:
    boxes = crop_boxes((height, width), crop_size)
    covered = torch.zeros(height, width, dtype=torch.bool)
    side = min(crop_size, height, width)
    for top, bottom, left, right in boxes:
        assert (bottom - top, right - left) == (side, side)
        assert 0 <= top <= bottom <= height
        assert 0 <= left <= right <= width
        covered[top:bottom, left:right] = True
    assert covered.all()
    assert boxes == sorted(set(boxes))
    # As few as can cover it.
    assert len(boxes) == -(-height // side) * -(-width // side)


def test_last_crop_is_flush_with_the_border() -> None:
    assert crop_boxes((128, 320), 128) == [(0, 128, 0, 128), (0, 128, 128, 256), (0, 128, 192, 320)]


@torch.no_grad()
def test_bottleneck_by_library_layers() -> None:
    block = BottleneckBlock(64, 128)
    for parameter in block.parameters():
        nn.init.normal_(parameter)

    def conv_norm(layer: ConvNorm, x: Tensor) -> Tensor:
        convolved = F.conv2d(x, layer.weight, padding=layer.kernel_size[0] // 2)
        return F.group_norm(convolved, 32, layer.norm.weight, layer.norm.bias, eps=1e-5)

    x = torch.randn(2, 64, 9, 7)
    out = F.relu(conv_norm(block.conv1, x))
    out = F.relu(conv_norm(block.conv2, out))
    out = conv_norm(block.conv3, out)
    expected = F.relu(out + conv_norm(block.shortcut, x))
    torch.testing.assert_close(block(x), expected)


def test_equal_widths_need_no_shortcut() -> None:
    assert isinstance(BottleneckBlock(128, 128).shortcut, nn.Identity)


class Channel(nn.Module):
    """Stands where a projection stands: the first channel, 128 times."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1].expand(-1, 128, -1, -1)


@pytest.fixture
def bare() -> FeaturePyramid:
    """A pyramid whose projections change nothing, to see which tap goes where."""
    pyramid = FeaturePyramid([1] * 8, 128)
    pyramid.projections = nn.ModuleList(Channel() for _ in range(8))
    return pyramid


def taps_of(count: int, side: int, value: float | None = None) -> list[Tensor]:
    return [
        torch.full((count, 1, side // stride, side // stride), float(value or 10**i))
        for i, stride in enumerate(TAP_STRIDES)
    ]


def test_which_taps_are_summed(bare: FeaturePyramid) -> None:
    # Tap i is worth 10^i. s2: VAE encoder and decoder at 4; s3: encoder, UNet, decoder at 8;
    # s4: UNet at 16; s5: UNet at 64 and 32.
    pyramid = bare(taps_of(1, 128), [(0, 128, 0, 128)], (128, 128))
    found = [x.unique().tolist() for x in pyramid]
    assert found == [[1e7 + 1e0], [1e1 + 1e5 + 1e6], [1e4], [1e2 + 1e3]]
    assert [x.shape[-1] for x in pyramid] == [128 // s for s in PYRAMID_STRIDES]


def test_overlapping_crops_are_averaged(bare: FeaturePyramid) -> None:
    # Three crops worth 1, 2 and 4 in a row: the last overlaps the second by half.
    boxes = crop_boxes((128, 320), 128)
    taps = [
        torch.tensor([1.0, 2.0, 4.0]).view(3, 1, 1, 1).expand_as(tap) for tap in taps_of(3, 128)
    ]
    s4 = bare(taps, boxes, (128, 320))[2]
    row = 8 * [1.0] + 4 * [2.0] + 4 * [3.0] + 4 * [4.0]
    assert s4[0, 0].tolist() == 8 * [row]


def test_crops_of_small_images_are_projected_at_their_own_size(bare: FeaturePyramid) -> None:
    # A crop of 64 was resized to 128 for the diffusion model: its taps are twice too large.
    pyramid = bare(taps_of(1, 128, 1.0), [(0, 64, 0, 64)], (64, 64))
    assert [x.shape[-1] for x in pyramid] == [16, 8, 4, 2]
