"""Names of a head's tensors: ours → those of the published checkpoints.

Files always hold the published names; ours are an implementation detail. The only structural
difference is the decoder's self-attention, whose three projections a file holds as one tensor.
Knows nothing of files.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_PIXEL = r"sem_seg_head.pixel_decoder."
_PREDICTOR = r"sem_seg_head.predictor."
_LAYER = r"mask_generator\.decoder\.decoder\.layers\.(\d+)\."
_ENCODER_LAYER = r"(pixel_decoder\.transformer\.encoder\.layers\.\d+)\."

# Applied one after the other to one of our names.
_RULES = tuple(
    (re.compile("^" + pattern if not pattern.startswith("(") else pattern), replacement)
    for pattern, replacement in (
        (r"captioner\.", r"backbone.feature_extractor."),
        (r"pyramid\.projections\.(\d+)\.", r"backbone.feature_projections.\1.0."),
        (r"mask_generator\.pixel_decoder\.(adapter|layer)_1\.0\.", _PIXEL + r"\1_1."),
        (r"mask_generator\.pixel_decoder\.(adapter|layer)_1\.1\.", _PIXEL + r"\1_1.norm."),
        (r"mask_generator\.pixel_decoder\.input_projections\.", _PIXEL + r"input_proj."),
        (r"mask_generator\.pixel_decoder\.mask_projection\.", _PIXEL + r"mask_features."),
        (r"mask_generator\.pixel_decoder\.", _PIXEL + r"transformer."),
        (_ENCODER_LAYER + r"self_attn_layer_norm\.", r"\1.norm1."),
        (_ENCODER_LAYER + r"final_layer_norm\.", r"\1.norm2."),
        (_ENCODER_LAYER + r"fc([12])\.", r"\1.linear\2."),
        (
            _LAYER + r"cross_attn_layer_norm\.",
            _PREDICTOR + r"transformer_cross_attention_layers.\1.norm.",
        ),
        (
            _LAYER + r"cross_attn\.",
            _PREDICTOR + r"transformer_cross_attention_layers.\1.multihead_attn.",
        ),
        (
            _LAYER + r"self_attn_layer_norm\.",
            _PREDICTOR + r"transformer_self_attention_layers.\1.norm.",
        ),
        (_LAYER + r"self_attn\.", _PREDICTOR + r"transformer_self_attention_layers.\1.self_attn."),
        (_LAYER + r"final_layer_norm\.", _PREDICTOR + r"transformer_ffn_layers.\1.norm."),
        (_LAYER + r"fc([12])\.", _PREDICTOR + r"transformer_ffn_layers.\1.linear\2."),
        (r"mask_generator\.decoder\.decoder\.layernorm\.", _PREDICTOR + r"decoder_norm."),
        (
            r"mask_generator\.decoder\.decoder\.mask_predictor\.mask_embedder\.(\d)\.0\.",
            _PREDICTOR + r"mask_embed.layers.\1.",
        ),
        (r"mask_generator\.decoder\.queries_features\.", _PREDICTOR + r"query_feat."),
        (r"mask_generator\.decoder\.queries_embedder\.", _PREDICTOR + r"query_embed."),
        (r"mask_generator\.decoder\.level_embed\.", _PREDICTOR + r"level_embed."),
        (
            r"mask_generator\.mask_pooling\.mask_embed\.1\.(\d)\.0\.",
            _PREDICTOR + r"post_mask_embed.mask_embed.1.layers.\1.",
        ),
        (r"mask_generator\.mask_pooling\.", _PREDICTOR + r"post_mask_embed."),
        (r"mask_generator\.class_embed\.", _PREDICTOR + r"class_embed."),
    )
)
_PROJECTION = re.compile(r"^(.*self_attn\.)([qkv])_proj\.(weight|bias)$")


def published_key(key: str, *, supervision: str) -> tuple[str, int | None]:
    """Published name of one of our tensors.

    Args:
        key: name in `Odise.state_dict()`.
        supervision: `label` or `caption`; the two heads are named differently.

    Returns:
        the name, and which third of that tensor's rows is meant (None: all of it).
    """
    head_name = "category_head." if supervision == "label" else "word_head."
    name = re.sub(r"^head\.", head_name, key)
    for pattern, replacement in _RULES:
        name = pattern.sub(replacement, name)
    projection = _PROJECTION.match(name)
    if projection and "predictor" in name:
        prefix, letter, kind = projection.groups()
        return f"{prefix}in_proj_{kind}", "qkv".index(letter)
    return name, None


def to_published(tensors: Mapping[str, Tensor], *, supervision: str) -> dict[str, Tensor]:
    """The tensors under their published names, thirds joined; also serves for shapes (meta)."""
    joined: dict[str, list[Tensor]] = {}
    for key, tensor in tensors.items():
        name, part = published_key(key, supervision=supervision)
        # q, k and v follow one another in a state dict in an order that is not to be relied on.
        parts = joined.setdefault(name, [tensor] * (1 if part is None else 3))
        if part is not None:
            parts[part] = tensor
    return {
        name: parts[0] if len(parts) == 1 else torch.cat(parts) for name, parts in joined.items()
    }


def from_published(
    published: Mapping[str, Tensor], keys: Iterable[str], *, supervision: str
) -> dict[str, Tensor]:
    """Our tensors out of a published checkpoint that is known to be complete."""
    tensors = {}
    for key in keys:
        name, part = published_key(key, supervision=supervision)
        tensors[key] = published[name] if part is None else published[name].chunk(3)[part]
    return tensors
