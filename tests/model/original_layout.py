"""diffusers' names → those of the original Stable Diffusion v1 checkpoints, written by hand.

The inverse of what the loader does, so that a test knows what must come out.
"""

import re
from collections.abc import Callable, Sequence

from torch import Tensor

Rule = tuple[str, str | Callable[[re.Match[str]], str]]

_RESNET: Sequence[Rule] = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)
_UNET: Sequence[Rule] = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (
        r"^down_blocks\.(\d)\.downsamplers\.0\.conv\.",
        lambda m: f"input_blocks.{3 * int(m[1]) + 3}.0.op.",
    ),
    (
        r"^down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.",
        lambda m: f"input_blocks.{3 * int(m[1]) + int(m[3]) + 1}.{'ra'.index(m[2][0])}.",
    ),
    (
        # The first up block has no attention before its upsampler.
        r"^up_blocks\.(\d)\.upsamplers\.0\.conv\.",
        lambda m: f"output_blocks.{3 * int(m[1]) + 2}.{1 if m[1] == '0' else 2}.conv.",
    ),
    (
        r"^up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.",
        lambda m: f"output_blocks.{3 * int(m[1]) + int(m[3])}.{'ra'.index(m[2][0])}.",
    ),
)
_VAE: Sequence[Rule] = (
    (r"\.down_blocks\.(\d)\.resnets\.(\d)\.", r".down.\1.block.\2."),
    (r"\.down_blocks\.(\d)\.downsamplers\.0\.", r".down.\1.downsample."),
    # The original counts up blocks from the finest.
    (
        r"\.up_blocks\.(\d)\.resnets\.(\d)\.",
        lambda m: f".up.{3 - int(m[1])}.block.{m[2]}.",
    ),
    (r"\.up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f".up.{3 - int(m[1])}.upsample."),
    (r"\.mid_block\.resnets\.(\d)\.", lambda m: f".mid.block_{int(m[1]) + 1}."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.group_norm\.", ".norm."),
    (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".proj_out."),
)


def original_checkpoint(
    unet: dict[str, Tensor], vae: dict[str, Tensor], text: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The three state dicts as one, as CompVis published them."""
    found = {}
    for name, tensor in unet.items():
        rules = [*_RESNET, *_UNET] if ".resnets." in name else _UNET
        found[f"model.diffusion_model.{_rename(name, rules)}"] = tensor
    for name, tensor in vae.items():
        is_attention = ".attentions." in name and tensor.ndim == 2
        # A linear map, which the original writes as a 1×1 convolution.
        shaped = tensor[:, :, None, None] if is_attention else tensor
        found[f"first_stage_model.{_rename(name, _VAE)}"] = shaped
    for name, tensor in text.items():
        bare = name.removeprefix("text_model.")
        found[f"cond_stage_model.transformer.text_model.{bare}"] = tensor
    return found


def _rename(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
