"""CLIP's patch tokens in place of the diffusion model's taps: what the paper compares with.

As many maps as the diffusion model has taps, of the same strides and in the same order of
computation, so that everything behind them is the same. Axes: N crops, C channels, H W.
"""

from torch import Tensor
from torch.nn import functional as F

from odise_cli.model.clip import Clip
from odise_cli.model.diffusion_features import TAP_STRIDES


def clip_tap_channels(clip: Clip) -> tuple[int, ...]:
    """Channels of each map."""
    width = int(clip.model.visual.transformer.width)
    return (width,) * len(TAP_STRIDES)


def clip_taps(clip: Clip, crops_N3HW: Tensor) -> list[Tensor]:
    """Patch tokens of layers evenly spread over CLIP's depth, the last layer included.

    Every layer of a vision transformer has the same grid: it is resized to each tap's stride.

    Args:
        clip: frozen.
        crops_N3HW: RGB in 0..1, square, sides multiples of 64.

    Returns:
        maps [N, C, H / stride, W / stride], strides as in `TAP_STRIDES`.

    Source: paper, ablation study (visual representations).
    """
    side, num_layers = crops_N3HW.shape[-1], len(clip.model.visual.transformer.resblocks)
    num_taps = len(TAP_STRIDES)
    depths = [-(-(tap + 1) * num_layers // num_taps) for tap in range(num_taps)]
    return [
        # In half precision a CPU has no kernel for it.
        F.interpolate(
            tap.float(), size=(side // stride, side // stride), mode="bilinear", antialias=True
        )
        for tap, stride in zip(clip.embed_patches(crops_N3HW, depths), TAP_STRIDES, strict=True)
    ]
