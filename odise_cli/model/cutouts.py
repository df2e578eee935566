"""Masks cut out of their images for CLIP: the alternative to its mask tokens.

Axes: B images, Q queries, D embedding, S side of CLIP's pictures, H W pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from odise_cli.model.clip import Clip, resize_bicubic

_LOGIT_STRIDE = 4
_CUTOUTS_PER_PASS = 32
"""A pass of CLIP for each mask would be slow, one for all of them is gigabytes at full size."""


def embed_cutouts(clip: Clip, images: Sequence[Tensor], mask_logits_BQHW: Tensor) -> Tensor:
    """Embed what lies inside each mask as a picture of its own.

    Args:
        clip: frozen.
        images: B images [3, H, W], RGB in 0..1, not padded, of any sizes.
        mask_logits_BQHW: mask logits of the padded canvas at stride 4.

    Returns:
        [B, Q, D] embeddings of whole pictures, raw.
    """
    logits_BQHW = F.interpolate(
        mask_logits_BQHW, scale_factor=_LOGIT_STRIDE, mode="bilinear", align_corners=False
    )
    embeds = []
    for image, logits_QHW in zip(images, logits_BQHW, strict=True):
        masks_QHW = logits_QHW[:, : image.shape[1], : image.shape[2]] > 0
        cutouts_Q3SS = torch.stack([cut_out(clip, image, mask_HW) for mask_HW in masks_QHW])
        chunks = cutouts_Q3SS.split(_CUTOUTS_PER_PASS)
        embeds.append(torch.cat([clip.embed_images(chunk) for chunk in chunks]))
    return torch.stack(embeds)


def cut_out(clip: Clip, image_3HW: Tensor, mask_HW: Tensor) -> Tensor:
    """The bounding box of a mask as a square picture of CLIP's size, [3, S, S].

    Outside of the mask, and where the box is filled up to a square around its middle, is the mean
    colour of CLIP's training. A mask without a pixel is a picture of nothing else.
    """
    mean_311 = clip.mean[0].to(image_3HW.dtype)
    rows, columns = (mask_HW.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    if not len(rows):
        return mean_311.expand(3, clip.image_size, clip.image_size)
    box = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    # Zero where nothing shall be seen: filling up adds zeros, too.
    seen_3HW = torch.where(mask_HW[box], image_3HW[:, *box] - mean_311, 0.0)
    height, width = seen_3HW.shape[1:]
    side = max(height, width)
    above, left = (side - height) // 2, (side - width) // 2
    square_3HW = F.pad(seen_3HW, (left, side - width - left, above, side - height - above))
    return resize_bicubic((square_3HW + mean_311)[None], (clip.image_size, clip.image_size))[0]
