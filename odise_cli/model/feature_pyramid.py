"""Crops → taps → one feature pyramid per image.

Cuts the padded canvas into square crops, projects each crop's taps to a common width and pastes
them back into whole-image maps. Axes: N crops, C channels, H W; s is a level's stride.
Knows nothing of the networks that made the taps.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model.diffusion_features import TAP_STRIDES

PYRAMID_STRIDES = (4, 8, 16, 32)
"""Strides of the levels s2, s3, s4, s5."""
_LEVEL_OF_TAP = tuple(
    # The stride-64 tap is resized up to the coarsest level.
    PYRAMID_STRIDES.index(min(stride, PYRAMID_STRIDES[-1]))
    for stride in TAP_STRIDES
)

Box = tuple[int, int, int, int]
"""(top, bottom, left, right), pixels."""


def crop_boxes(size: tuple[int, int], crop_size: int) -> list[Box]:
    """Square crops that cover a canvas; the last of a row or column is flush with the border.

    Args:
        size: (height, width) of the canvas.
        crop_size: wanted side; crops are never larger than the canvas's shorter side.

    Returns:
        boxes in row-major order, all of one side.
    """
    side = min(crop_size, *size)
    tops, lefts = (
        sorted({min(start, length - side) for start in range(0, length, side)}) for length in size
    )
    return [(top, top + side, left, left + side) for top, left in product(tops, lefts)]


class ConvNorm(nn.Conv2d):
    """A convolution without bias and the group normalisation after it."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        padding = kernel_size // 2
        super().__init__(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        self.norm = nn.GroupNorm(32, out_channels)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102 - nn.Module's own contract
        return self.norm(super().forward(x))


class BottleneckBlock(nn.Module):
    """Residual block 1×1 → 3×3 → 1×1 with a quarter of the output's channels in between."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 4
        has_shortcut = in_channels != out_channels
        self.shortcut = ConvNorm(in_channels, out_channels, 1) if has_shortcut else nn.Identity()
        self.conv1 = ConvNorm(in_channels, middle, 1)
        self.conv2 = ConvNorm(middle, middle, 3)
        self.conv3 = ConvNorm(middle, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, out_channels, H, W] from [N, in_channels, H, W]."""
        out = F.relu(self.conv1(x))
        out = F.relu(self.conv2(out))
        return F.relu(self.conv3(out) + self.shortcut(x))


class FeaturePyramid(nn.Module):
    """Projections of the taps, summed by level and pasted into whole-image maps."""

    def __init__(self, tap_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            BottleneckBlock(channels, out_channels) for channels in tap_channels
        )

    def forward(
        self, taps: Sequence[Tensor], boxes: Sequence[Box], size: tuple[int, int]
    ) -> list[Tensor]:
        """Build the pyramid of one image from the taps of its crops.

        Args:
            taps: for each tap [N, C, h, w], N crops in the order of `boxes`.
            boxes: where the crops lie on the canvas.
            size: (height, width) of the canvas, multiples of 64.

        Returns:
            maps [1, C, H/s, W/s] for s in `PYRAMID_STRIDES`.
        """
        levels = self.project(taps, boxes[0][1] - boxes[0][0])
        return [
            _paste(crops_NCHW, boxes, size, stride)
            for crops_NCHW, stride in zip(levels, PYRAMID_STRIDES, strict=True)
        ]

    def project(self, taps: Sequence[Tensor], side: int) -> Iterator[Tensor]:
        """The pyramid of each crop, a level at a time.

        Args:
            taps: for each tap [N, C, h, w].
            side: of the crops on the canvas, pixels.

        Yields:
            maps [N, C, side/s, side/s] for s in `PYRAMID_STRIDES`.
        """
        for level, stride in enumerate(PYRAMID_STRIDES):
            members = [i for i, tap_level in enumerate(_LEVEL_OF_TAP) if tap_level == level]
            maps = [
                projection(F.interpolate(tap, size=(side // stride, side // stride)))
                for tap, projection in ((taps[i], self.projections[i]) for i in members)
            ]
            yield torch.stack(maps).sum(dim=0) if len(maps) > 1 else maps[0]


def _paste(crops_NCHW: Tensor, boxes: Sequence[Box], size: tuple[int, int], stride: int) -> Tensor:
    """One map [1, C, H/stride, W/stride] from the crops' maps, averaged where they overlap."""
    if len(boxes) == 1 and boxes[0] == (0, size[0], 0, size[1]):
        return crops_NCHW
    height, width = size[0] // stride, size[1] // stride
    canvas = crops_NCHW.new_zeros(1, crops_NCHW.shape[1], height, width)
    count = crops_NCHW.new_zeros(1, 1, height, width)
    for crop_CHW, box in zip(crops_NCHW, boxes, strict=True):
        top, bottom, left, right = (edge // stride for edge in box)
        canvas[..., top:bottom, left:right] += crop_CHW
        count[..., top:bottom, left:right] += 1
    return canvas.div_(count)
