"""The frozen parts from files: the diffusion model and CLIP, in every form they come in.

Diffusion: a diffusers folder or hub id, or an original checkpoint of Stable Diffusion v1.
CLIP: an open_clip name, a folder of open_clip's, or a file with OpenAI's keys.
Knows nothing of heads or model folders.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import open_clip
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from open_clip.model import resize_pos_embed
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.clip import TEXT_CONTEXT, Clip
from odise_cli.model.weights_file import (
    first_line,
    load_exactly,
    read_tensors,
    refuse_misfits,
)

_START_TOKEN, _END_TOKEN = 49406, 49407
_UNET_PREFIX = "model.diffusion_model."
_VAE_PREFIX = "first_stage_model."
_TEXT_PREFIX = "cond_stage_model."
_CLIP_CONFIG = "open_clip_config.json"
_CLIP_WEIGHTS = "open_clip_model.safetensors"

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class DiffusionParts:
    """A latent diffusion model, and its text encoding of the empty sentence."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    empty_caption: Tensor | None
    """[1, 77, C]; None if the source has no text encoder."""


def load_diffusion(source: str, *, offline: bool) -> DiffusionParts:
    """Load a diffusion model.

    Args:
        source: a diffusers folder, an original `.ckpt` or `.safetensors`, or a hub id.
        offline: never ask the hub.

    Raises:
        MissingDataError: if there is no such file, or the hub does not give it.
        CheckpointError: if the tensors do not fit Stable Diffusion v1's architecture.
    """
    path = Path(source)
    if path.is_file():
        return _load_original(path)
    if not path.is_dir() and path.suffix in (".ckpt", ".safetensors"):
        raise MissingDataError(
            f"{path}: no such file. Expected Stable Diffusion weights. Check the path."
        )
    return _load_diffusers(source, local_only=offline or path.is_dir())


def _load_diffusers(source: str, *, local_only: bool) -> DiffusionParts:
    """Load a diffusers folder or hub id, in fp32 whatever the files hold."""
    folder = Path(source)
    has_text = not folder.is_dir() or (folder / "text_encoder").is_dir()
    options: dict[str, Any] = {
        "local_files_only": local_only,
        # Otherwise a missing file falls back to pickle in silence.
        "use_safetensors": True,
        # Otherwise missing and unexpected tensors are only logged.
        "output_loading_info": True,
    }
    infos = {}
    encoder = None
    try:
        unet, infos["unet"] = UNet2DConditionModel.from_pretrained(
            source, subfolder="unet", torch_dtype=torch.float32, **options
        )
        vae, infos["vae"] = AutoencoderKL.from_pretrained(
            source, subfolder="vae", torch_dtype=torch.float32, **options
        )
        if has_text:
            encoder, infos["text_encoder"] = CLIPTextModel.from_pretrained(
                source,
                subfolder="text_encoder",
                dtype=torch.float32,
                # Reports them instead of an error that does not name them.
                ignore_mismatched_sizes=True,
                **options,
            )
    except OSError as error:
        raise MissingDataError(
            f"{source}: cannot be loaded as a diffusion model ({first_line(error)}). "
            "Expected a diffusers folder with unet/, vae/ and text_encoder/, or a hub id. "
            "Check the name, or fetch the weights with `odise models pull`."
        ) from error
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{source}: cannot be used as a diffusion model ({first_line(error)}). "
            "Expected the parts of Stable Diffusion v1 in diffusers' format. Fetch them again."
        ) from error
    for part, info in infos.items():
        refuse_misfits(
            f"{source}/{part}",
            missing=info["missing_keys"],
            unexpected=info["unexpected_keys"],
            misshapen=[(name, ours, found) for name, found, ours in info["mismatched_keys"]],
        )
    empty_caption = None if encoder is None else encode_empty_caption(encoder)
    return DiffusionParts(unet=unet, vae=vae, empty_caption=empty_caption)


@torch.no_grad()
def encode_empty_caption(encoder: CLIPTextModel) -> Tensor:
    """Stable Diffusion's condition for "": [1, 77, C], padded with the end token."""
    tokens = torch.full((1, TEXT_CONTEXT), _END_TOKEN)
    tokens[0, 0] = _START_TOKEN
    return encoder(input_ids=tokens).last_hidden_state


def _load_original(path: Path) -> DiffusionParts:
    tensors = read_tensors(path)
    where = str(path)
    if not any(name.startswith(_UNET_PREFIX) for name in tensors):
        raise CheckpointError(
            f"{path}: no tensor begins with {_UNET_PREFIX!r}. "
            "Expected an original Stable Diffusion v1 checkpoint. Check the path."
        )
    unet_config, vae_config = original_configs(where, tensors)
    unet_tensors = convert_ldm_unet_checkpoint(dict(tensors), unet_config)
    vae_tensors = convert_ldm_vae_checkpoint(dict(tensors), vae_config)
    unet = _load_on_meta(lambda: UNet2DConditionModel(**unet_config), where, unet_tensors)
    vae = _load_on_meta(lambda: AutoencoderKL(**vae_config), where, vae_tensors)
    empty = None
    if any(name.startswith(_TEXT_PREFIX) for name in tensors):
        text_tensors = {
            name.removeprefix("text_model."): x
            for name, x in convert_ldm_clip_checkpoint(dict(tensors)).items()
            # Not a weight: the numbers 0..76.
            if not name.endswith("position_ids")
        }
        encoder = CLIPTextModel(_original_text_config(where, text_tensors)).eval()
        # Where transformers nests the tower in a member of that name, as the original file does.
        load_exactly(getattr(encoder, "text_model", encoder), where, text_tensors)
        empty = encode_empty_caption(encoder)
    return DiffusionParts(unet=unet, vae=vae, empty_caption=empty)


def original_configs(
    where: str, tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Stable Diffusion v1's UNet and VAE configuration at the widths of an original checkpoint.

    Raises:
        CheckpointError: if the tensors that tell the widths are missing.
    """
    try:
        unet_width = tensors[_UNET_PREFIX + "input_blocks.0.0.weight"].shape[0]
        cross_key = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
        text_width = tensors[_UNET_PREFIX + cross_key].shape[1]
        vae_width = tensors[_VAE_PREFIX + "encoder.conv_in.weight"].shape[0]
    except KeyError as error:
        raise CheckpointError(
            f"{where}: tensor {error} is missing. "
            "Expected an original Stable Diffusion v1 checkpoint. Fetch it again."
        ) from error
    return unet_config(unet_width, text_width), vae_config(vae_width)


def unet_config(width: int, text_width: int) -> dict[str, Any]:
    """Stable Diffusion v1's UNet (320, 768) at another width and text width."""
    return {
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (width, 2 * width, 4 * width, 4 * width),
        "layers_per_block": 2,
        "cross_attention_dim": text_width,
        # diffusers' historical name: this is the number of heads.
        "attention_head_dim": 8,
        "norm_eps": 1e-5,
    }


def vae_config(width: int, *, norm_num_groups: int = 32) -> dict[str, Any]:
    """Stable Diffusion v1's VAE (128) at another width."""
    return {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (width, 2 * width, 4 * width, 4 * width),
        "layers_per_block": 2,
        "norm_num_groups": norm_num_groups,
        "scaling_factor": 0.18215,
    }


def _original_text_config(where: str, tensors: Mapping[str, Tensor]) -> CLIPTextConfig:
    """CLIP ViT-L/14's text tower at the widths of the tensors."""
    token_keys = [name for name in tensors if name.endswith("token_embedding.weight")]
    if not token_keys:
        raise CheckpointError(
            f"{where}: the text encoder has no token_embedding. "
            "Expected an original Stable Diffusion v1 checkpoint. Fetch it again."
        )
    vocab_size, width = tensors[token_keys[0]].shape
    layers = {name.split(".layers.")[1].split(".")[0] for name in tensors if ".layers." in name}
    return CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=len(layers),
        num_attention_heads=max(1, width // 64),
        hidden_act="quick_gelu",
    )


def load_clip(source: str, *, offline: bool) -> nn.Module:
    """Load CLIP through open_clip.

    Args:
        source: a folder that open_clip wrote, a file with OpenAI's keys (its TorchScript archives
            too), or an open_clip name such as `ViT-L-14-336-quickgelu/openai`.
        offline: never download.

    Raises:
        MissingDataError: if there is no such file or name, or the download fails.
        CheckpointError: if the tensors do not fit.
    """
    path = Path(source)
    if path.is_dir():
        return _load_clip_folder(path)
    if path.is_file():
        tensors = read_tensors(path)
        return build_clip(clip_config(source, tensors), source, tensors)
    name, _, pretrained = source.rpartition("/")
    if pretrained not in open_clip.list_pretrained_tags_by_model(name):
        raise MissingDataError(
            f"{source}: neither a file nor a folder nor weights that open_clip knows. "
            "Expected for example ViT-L-14-336-quickgelu/openai. Check the name or the path."
        )
    if offline:
        raise MissingDataError(
            f"{source}: open_clip may have to download it, and --offline forbids that. "
            "Expected a local file or folder. Give one, or leave out --offline."
        )
    try:
        # OpenAI's weights want QuickGELU under every name; open_clip would only warn.
        return open_clip.create_model(
            name, pretrained=pretrained, force_quick_gelu=pretrained == "openai"
        )
    except (OSError, RuntimeError) as error:
        raise MissingDataError(
            f"{source}: open_clip could not fetch it ({first_line(error)}). "
            "Expected a network or a local file. Try `odise models pull`."
        ) from error


def _load_clip_folder(folder: Path) -> nn.Module:
    config = read_clip_config(folder)
    tensors = read_tensors(folder / _CLIP_WEIGHTS)
    try:
        return build_clip(config, str(folder), tensors)
    except TypeError as error:
        raise CheckpointError(
            f"{folder / _CLIP_CONFIG}: is no configuration of a plain CLIP ({error}). "
            "Expected embed_dim, vision_cfg and text_cfg of a vision transformer and a text "
            "transformer. Use another CLIP."
        ) from error


def save_clip(model: nn.Module, config: Mapping[str, Any], folder: Path) -> None:
    """Write a CLIP in open_clip's own folder format."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _CLIP_CONFIG).write_text(json.dumps({"model_cfg": config}, indent=2) + "\n")
    save_file(
        {name: x.contiguous() for name, x in model.state_dict().items()}, folder / _CLIP_WEIGHTS
    )


def read_clip_config(folder: Path) -> dict[str, Any]:
    """open_clip's `model_cfg` of a CLIP in open_clip's own folder format.

    Raises:
        MissingDataError: if the folder has none.
    """
    try:
        return dict(json.loads((folder / _CLIP_CONFIG).read_text())["model_cfg"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingDataError(
            f"{folder}: {_CLIP_CONFIG} is missing or unreadable ({error}). "
            f"Expected a folder with {_CLIP_CONFIG} and {_CLIP_WEIGHTS}. Check the path."
        ) from error


def resized_clip(
    clip: Clip, config: Mapping[str, Any], image_size: int
) -> tuple[Clip, dict[str, Any]]:
    """The same CLIP for pictures of another size, and its `model_cfg`.

    The positions of its patches are interpolated; it has to be trained on before it is as good.
    """
    resized_config = {**config, "vision_cfg": {**config["vision_cfg"], "image_size": image_size}}
    model = build_clip(resized_config, "resized", None)
    tensors = clip.model.state_dict()
    resize_pos_embed(tensors, model)
    load_exactly(model, "resized", tensors)
    return Clip(model), resized_config


def build_clip(
    config: Mapping[str, Any], where: str, tensors: Mapping[str, Tensor] | None
) -> nn.Module:
    """An open_clip CLIP of a configuration; freshly initialised without tensors."""
    if tensors is None:
        return open_clip.model.CLIP(**config).eval()
    with torch.device("meta"):
        model = open_clip.model.CLIP(**config)
    extra = ("input_resolution", "context_length", "vocab_size")
    found = {name: x for name, x in tensors.items() if name not in extra}
    load_exactly(model, where, found)
    # Not persistent, hence still on the meta device.
    length = model.context_length
    model.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
    return model.eval()


def clip_config(where: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Configuration of a CLIP with OpenAI's keys, read off its shapes.

    Raises:
        CheckpointError: if it is no CLIP with a vision transformer.
    """
    try:
        width, _, _, patch = tensors["visual.conv1.weight"].shape
        positions = tensors["visual.positional_embedding"].shape[0]
        text_width, embed_dim = tensors["text_projection"].shape
        context, vocab = tensors["positional_embedding"].shape[0], tensors["token_embedding.weight"]
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{where}: is no CLIP with a vision transformer ({error} is missing or misshapen). "
            "Expected OpenAI's or open_clip's weights. Check the path."
        ) from error
    return {
        "embed_dim": embed_dim,
        # OpenAI's weights were trained with it; a folder's configuration can say otherwise.
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": patch * round((positions - 1) ** 0.5),
            "layers": _count(tensors, "visual.transformer.resblocks.{}.ln_1.weight"),
            "width": width,
            "patch_size": patch,
        },
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocab.shape[0],
            "width": text_width,
            "heads": max(1, text_width // 64),
            "layers": _count(tensors, "transformer.resblocks.{}.ln_1.weight"),
        },
    }


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """How many consecutive layers a state dict has."""
    count = 0
    while pattern.format(count) in tensors:
        count += 1
    return count


def _load_on_meta(build: Callable[[], Module], where: str, tensors: Mapping[str, Tensor]) -> Module:
    """Build a module without initialising it, then give it these tensors and no others."""
    with torch.device("meta"):
        module = build()
    load_exactly(module, where, tensors)
    return module.eval()
