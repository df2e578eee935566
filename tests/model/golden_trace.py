"""Every intermediate tensor of our model, under the names of the reference's golden files."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from odise_cli.model.classifier import (
    CategoryHead,
    TextEmbeddings,
    cosine_logits,
    fuse,
    max_over_words,
    with_objectness,
)
from odise_cli.model.clip import resize_bicubic
from odise_cli.model.feature_pyramid import crop_boxes
from odise_cli.model.mask_generator import MaskOutputs, pool_under_masks
from odise_cli.model.odise import Odise, pad_to_canvas


def to_tensor(image_HW3: np.ndarray) -> Tensor:
    """[3, H, W] in 0..1 from an 8-bit array."""
    return torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).float() / 255


@torch.no_grad()
def trace_crops(model: Odise, image_3HW: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The stages up to the taps, by crop; and the pyramid that the taps give."""
    canvas = pad_to_canvas(image_3HW)[None]
    size = (canvas.shape[-2], canvas.shape[-1])
    side = model.config.crop_size
    boxes = crop_boxes(size, side)
    crops = torch.cat(
        [
            resize_bicubic(canvas[..., top:bottom, left:right], (side, side))
            for top, bottom, left, right in boxes
        ]
    )
    embed = model.clip.embed_images(crops)
    text, time = model.captioner(embed)
    latent, encoder_taps = model.diffusion.encode(2 * crops - 1)
    noisy = model.diffusion.add_noise(latent)
    unet_taps = model.diffusion.denoise(noisy, text, time)
    taps = [*encoder_taps, *unet_taps, *model.diffusion.decode(latent)]
    stages = {
        "img": crops,
        "vae_in": 2 * crops - 1,
        "clip_image_embed": embed,
        "cond_inputs": text,
        "cond_emb": time[:, None],
        "latent": latent,
        "noisy_latent": noisy,
        **{f"feat{n}": tap for n, tap in enumerate(taps)},
    }
    found = {
        f"crop{i}/{name}": stage[i : i + 1]
        for i in range(len(boxes))
        for name, stage in stages.items()
    }
    pyramid = model.pyramid(taps, boxes, size)
    found |= {f"s{level + 2}": x for level, x in enumerate(pyramid)}
    return {"padded_image": canvas, **found}, pyramid


@torch.no_grad()
def trace_masks(model: Odise, pyramid: Sequence[Tensor]) -> tuple[dict[str, Tensor], MaskOutputs]:
    """Pixel decoder, and every layer of the decoder."""
    generator = model.mask_generator
    decoder = generator.decoder.decoder
    num_heads = model.config.mask_generator.num_heads
    states: list[Tensor] = [generator.decoder.queries_features.weight[:, None]]
    attention: list[Tensor] = []
    multi_scale: list[tuple[Tensor, ...]] = []
    hooks = [
        *(
            layer.register_forward_hook(lambda _m, _i, out: states.append(out[0]))
            for layer in decoder.layers
        ),
        decoder.mask_predictor.register_forward_hook(
            lambda _m, _i, out: attention.append(out[1][::num_heads])
        ),
        generator.pixel_decoder.register_forward_hook(
            lambda _m, _i, out: multi_scale.append(out.multi_scale_features)
        ),
    ]
    outputs = generator(pyramid)
    for hook in hooks:
        hook.remove()
    found = {"mask_features": outputs.mask_features}
    found |= {f"ms{level}": x for level, x in enumerate(multi_scale[0])}
    for layer, (queries, logits) in enumerate(
        zip(outputs.queries, outputs.mask_logits, strict=True)
    ):
        found |= {
            f"dec{layer}/output": states[layer],
            f"dec{layer}/pred_masks": logits,
            f"dec{layer}/attn_mask": attention[layer],
            # The reference records them projected and added to the query.
            f"dec{layer}/mask_pooled_features": queries
            + generator.mask_pooling.pool_proj(pool_under_masks(outputs.mask_features, logits)),
            f"dec{layer}/mask_embed": generator.mask_pooling(
                queries, logits, outputs.mask_features
            ),
        }
        if model.config.supervision == "caption":
            found[f"dec{layer}/pred_logits"] = generator.objectness_logits(queries)
    return found, outputs


@torch.no_grad()
def trace_clip(
    model: Odise, image_3HW: Tensor, mask_logits_BQHW: Tensor, text: TextEmbeddings
) -> dict[str, Tensor]:
    """The second opinion: mask tokens against words."""
    clip = model.clip
    embeds = clip.embed_masks([image_3HW], mask_logits_BQHW)
    return {
        "logit_scale": model.mask_generator.mask_pooling.scale,
        "clip/text_embed": text.photo_ND,
        "clip/mask_embed": embeds,
        "clip/mask_pred_open_logits": max_over_words(
            cosine_logits(embeds, text.photo_ND, clip.logit_scale), text
        ),
        "clip/attn_mask_h0": clip._blocked_patches(mask_logits_BQHW)[..., 1:],
    }


@torch.no_grad()
def trace_classes(
    model: Odise, outputs: MaskOutputs, clip_BQK: Tensor, text: TextEmbeddings
) -> dict[str, Tensor]:
    """The head's own opinion, and both fused."""
    queries, logits = outputs.queries[-1], outputs.mask_logits[-1]
    pooling = model.mask_generator.mask_pooling
    embed = pooling(queries, logits, outputs.mask_features)
    found = {"text_embed_proj": model.head.text_proj(text.head_ND)}
    if isinstance(model.head, CategoryHead):
        ours, null = model.head(embed, pooling.scale, text)
        prefusion = torch.cat([ours, null], dim=-1)
        found["null_embed_proj"] = model.head.text_proj(model.head.null_embed)
        found["pred_logits_prefusion"] = prefusion
        objectness = 1 - prefusion.softmax(-1)[..., -1:]
    else:
        ours = model.head(embed, pooling.scale, text)
        found["pred_open_logits_prefusion"] = ours
        objectness = model.mask_generator.objectness_logits(queries).softmax(-1)[..., :1]
    fused = fuse(ours, clip_BQK, text.seen_K, alpha=model.alpha, beta=model.beta)
    found["pred_open_logits_fused"] = fused
    found["mask_cls"] = with_objectness(fused, objectness)[0]
    return found
