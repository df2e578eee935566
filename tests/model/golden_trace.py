"""Every intermediate tensor of our model, under the names of the reference's golden files."""

import torch
from torch import Tensor

from odise_cli.model.clip import resize_bicubic
from odise_cli.model.feature_pyramid import crop_boxes
from odise_cli.model.mask_generator import MaskOutputs, pool_under_masks
from odise_cli.model.odise import Odise, pad_to_canvas


def to_tensor(image_HW3: object) -> Tensor:
    """[3, H, W] in 0..1 from an 8-bit array."""
    return torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).float() / 255  # type: ignore[attr-defined]


@torch.no_grad()
def trace_crops(model: Odise, image_3HW: Tensor) -> dict[str, Tensor]:
    """The stages up to the taps, crop by crop."""
    canvas = pad_to_canvas(image_3HW)[None]
    size = (canvas.shape[-2], canvas.shape[-1])
    crop_size = model.config.crop_size
    found = {"padded_image": canvas}
    for i, (top, bottom, left, right) in enumerate(crop_boxes(size, crop_size)):
        crop = resize_bicubic(canvas[..., top:bottom, left:right], (crop_size, crop_size))
        embed = model.clip.embed_images(crop)
        text, time = model.captioner(embed)
        latent, encoder_taps = model.diffusion.encode(2 * crop - 1)
        noisy = model.diffusion.add_noise(latent)
        taps = [
            *encoder_taps,
            *model.diffusion.denoise(noisy, text, time),
            *model.diffusion.decode(latent),
        ]
        stages = {
            "img": crop,
            "vae_in": 2 * crop - 1,
            "clip_image_embed": embed,
            "cond_inputs": text,
            "cond_emb": time[:, None],
            "latent": latent,
            "noisy_latent": noisy,
            **{f"feat{n}": tap for n, tap in enumerate(taps)},
        }
        found |= {f"crop{i}/{name}": tensor for name, tensor in stages.items()}
    return found


@torch.no_grad()
def trace_masks(model: Odise, pyramid: list[Tensor]) -> tuple[dict[str, Tensor], MaskOutputs]:
    """Pixel decoder and every layer of the decoder."""
    generator = model.mask_generator
    decoder = generator.decoder.decoder
    found = {f"s{level + 2}": x for level, x in enumerate(pyramid)}
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
    found["mask_features"] = outputs.mask_features
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
    return found, outputs
