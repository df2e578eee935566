"""Weights in, weights out: a model folder, or published parts put together.

    model/
    ├── odise.json                  `ModelConfig`, and where the frozen parts are
    ├── head.safetensors            trained tensors under their published names
    ├── empty_caption.safetensors   Stable Diffusion's encoding of "" (if there is no text encoder)
    ├── unet/ vae/                  diffusers' own format
    └── clip/                       open_clip's own format

Instead of the subfolders `odise.json` may name other places: `"diffusion"` (a diffusers folder,
a hub id, an original checkpoint) and `"clip"` (an open_clip name, a file, a folder); relative
paths count from the model folder. Knows nothing of `label`, `caption` or downloads.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from safetensors.torch import save_file
from torch import Tensor

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.config import ModelConfig
from odise_cli.model.frozen_weights import load_clip, load_diffusion, save_clip
from odise_cli.model.head_keys import from_published, to_published
from odise_cli.model.odise import Odise
from odise_cli.model.weights_file import check_tensors, read_tensors, refuse_misfits

CONFIG_FILE = "odise.json"
HEAD_FILE = "head.safetensors"
EMPTY_CAPTION_FILE = "empty_caption.safetensors"
_EMPTY_CAPTION = "empty_caption"
_FROZEN = ("clip.", "diffusion.")
_WORDS = ("head.", "mask_generator.mask_pooling.", "mask_generator.class_embed.")
"""What embeds masks and words, and tells objects from none; the rest of a head makes masks."""
_TRAINING_STATE = ("criterion.empty_weight",)
"""Tensors of published checkpoints that only training needs."""


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """Where each part of a model is; what `load_model` needs and no more."""

    config: ModelConfig
    head: Path
    diffusion: str
    """A diffusers folder, an original checkpoint or a hub id."""
    clip: str
    """A folder, a file or an open_clip name."""
    empty_caption: Path | None = None
    """Overrides the text encoder of `diffusion`."""

    def weight_files(self) -> list[Path]:
        """Every local file of weights, sorted; their hashes identify the model."""
        roots = [self.head, Path(self.diffusion), Path(self.clip), self.empty_caption]
        files = [
            path
            for root in roots
            if root is not None and root.exists()
            for path in ([root] if root.is_file() else sorted(root.rglob("*.safetensors")))
        ]
        return sorted(set(files))


def read_model_folder(folder: Path) -> ModelFiles:
    """Find the parts of a model folder.

    Raises:
        MissingDataError: if a part is missing.
        CheckpointError: if `odise.json` cannot be used.
    """
    content = read_config_file(folder)
    try:
        diffusion = _reference(folder, content.pop("diffusion", None), ".")
        clip = _reference(folder, content.pop("clip", None), "clip")
    except TypeError as error:
        raise _no_configuration(folder, error) from error
    empty_caption = folder / EMPTY_CAPTION_FILE
    return ModelFiles(
        config=ModelConfig.from_json(content),
        head=folder / HEAD_FILE,
        diffusion=diffusion,
        clip=clip,
        empty_caption=empty_caption if empty_caption.is_file() else None,
    )


def read_config_file(folder: Path) -> dict[str, Any]:
    """The content of a model folder's `odise.json`.

    Raises:
        MissingDataError: if there is none.
        CheckpointError: if it is no JSON object.
    """
    config_path = folder / CONFIG_FILE
    if not config_path.is_file():
        raise MissingDataError(
            f"{folder}: no {CONFIG_FILE} in it. Expected a model folder. "
            "Use label, caption, tiny or a folder that odise wrote."
        )
    try:
        content = json.loads(config_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _no_configuration(folder, error) from error
    if not isinstance(content, dict):
        raise _no_configuration(folder, TypeError(f"it is a {type(content).__name__}"))
    return content


def _no_configuration(folder: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{folder / CONFIG_FILE}: is no JSON object ({error}). Expected a model's configuration. "
        "Export the model again."
    )


def _reference(folder: Path, named: str | None, default: str) -> str:
    """A part's place: what is named, if it exists then relative to the folder."""
    inside = folder / (named or default)
    if named is None or inside.exists():
        return str(inside)
    return named


def load_model(
    files: ModelFiles, *, offline: bool = False, seed: int = 42, has_head: bool = True
) -> Odise:
    """Put a model together, on the CPU, in fp32, in evaluation mode, frozen.

    Args:
        files: where its parts are.
        offline: never touch the network.
        seed: of the diffusion model's noise.
        has_head: read the head; without, its tensors are whatever the libraries made of them.

    Raises:
        MissingDataError: if a part is missing.
        CheckpointError: if a part does not fit; the tensors are named.
    """
    diffusion = load_diffusion(files.diffusion, offline=offline)
    empty_caption = diffusion.empty_caption
    if files.empty_caption is not None:
        tensors = read_tensors(files.empty_caption)
        refuse_misfits(
            str(files.empty_caption),
            missing={_EMPTY_CAPTION} - tensors.keys(),
            unexpected=tensors.keys() - {_EMPTY_CAPTION},
        )
        empty_caption = tensors[_EMPTY_CAPTION]
    if empty_caption is None:
        raise MissingDataError(
            f"{files.diffusion}: has no text encoder to encode the empty caption. "
            f"Expected text_encoder/ beside unet/, or {EMPTY_CAPTION_FILE}. "
            "Use a complete diffusion model."
        )
    clip = load_clip(files.clip, offline=offline)
    model = Odise(files.config, unet=diffusion.unet, vae=diffusion.vae, clip=clip, seed=seed)
    if has_head:
        load_head(model, str(files.head), read_tensors(files.head), empty_caption=empty_caption)
    else:
        _set_empty_caption(model, str(files.diffusion), empty_caption)
    return model.requires_grad_(False).eval()


def load_head(
    model: Odise, where: str, published: Mapping[str, Tensor], *, empty_caption: Tensor
) -> None:
    """Put the trained tensors and the empty caption into a model.

    Args:
        model: changed in place.
        where: the file, for messages.
        published: tensors under their published names.
        empty_caption: [1, 77, C].

    Raises:
        CheckpointError: naming missing, unexpected and misshapen tensors.
    """
    ours = head_tensors(model)
    expected = _published_shapes(model, ours)
    check_tensors(where, published, expected, ignored=_TRAINING_STATE)
    _set_empty_caption(model, where, empty_caption)
    _fill(model, ours, published)


def load_masks(model: Odise, where: str, published: Mapping[str, Tensor]) -> None:
    """Put what makes masks of a head's trained tensors into a model, and leave its words alone.

    Args:
        model: changed in place: implicit captioner, feature pyramid, pixel and mask decoder.
        where: the file, for messages.
        published: tensors under their published names, of a head of either supervision.

    Raises:
        CheckpointError: naming missing and misshapen tensors.
    """
    ours = {name: x for name, x in head_tensors(model).items() if not name.startswith(_WORDS)}
    expected = _published_shapes(model, ours)
    found = {name: x for name, x in published.items() if name in expected}
    check_tensors(where, found, expected)
    _fill(model, ours, found)


def _published_shapes(model: Odise, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without content, under their published names."""
    empty = {name: x.to("meta") for name, x in ours.items()}
    return to_published(empty, supervision=model.config.supervision)


def _fill(model: Odise, ours: Mapping[str, Tensor], published: Mapping[str, Tensor]) -> None:
    loaded = from_published(published, ours, supervision=model.config.supervision)
    with torch.no_grad():
        for name, tensor in ours.items():
            tensor.copy_(loaded[name])


def _set_empty_caption(model: Odise, where: str, empty_caption: Tensor) -> None:
    buffer = model.captioner.empty_caption
    check_tensors(where, {_EMPTY_CAPTION: empty_caption}, {_EMPTY_CAPTION: buffer})
    buffer.copy_(empty_caption)


def head_tensors(model: Odise) -> dict[str, Tensor]:
    """The trained tensors of a model under our names; they share its memory."""
    return {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(_FROZEN) and name != "captioner.empty_caption"
    }


def save_head(model: Odise, path: Path) -> None:
    """Write the trained tensors as safetensors under their published names."""
    tensors = to_published(head_tensors(model), supervision=model.config.supervision)
    save_file({name: x.contiguous().cpu() for name, x in tensors.items()}, path)


def save_referring_folder(model: Odise, files: ModelFiles, folder: Path) -> None:
    """Write a head as a model folder whose frozen parts stay where they are.

    Args:
        model: any device; its configuration is written with it.
        files: where the frozen parts were read from.
        folder: created if needed; files of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_head(model, folder / HEAD_FILE)
    _save_empty_caption(model, folder)
    named = {"diffusion": files.diffusion, "clip": files.clip}
    places = {
        part: str(Path(place).resolve()) if Path(place).exists() else place
        for part, place in named.items()
    }
    _write_config(folder, {**model.config.to_json(), **places})


def save_model_folder(model: Odise, clip_config: Mapping[str, Any], folder: Path) -> None:
    """Write a whole model, frozen parts included, as a model folder.

    Args:
        model: any device and dtype.
        clip_config: open_clip's `model_cfg` of the model's CLIP, which it does not keep itself.
        folder: created if needed; files of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_head(model, folder / HEAD_FILE)
    _save_empty_caption(model, folder)
    _save_diffusion_part(model.diffusion.unet, folder / "unet")
    _save_diffusion_part(model.diffusion.vae, folder / "vae")
    save_clip(model.clip.model, clip_config, folder / "clip")
    _write_config(folder, model.config.to_json())


def _save_diffusion_part(part: ModelMixin, folder: Path) -> None:
    """As diffusers saves it, but for the place on this machine that it was read from."""
    part.save_pretrained(folder)
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _save_empty_caption(model: Odise, folder: Path) -> None:
    empty_caption = model.captioner.empty_caption.contiguous().cpu()
    save_file({_EMPTY_CAPTION: empty_caption}, folder / EMPTY_CAPTION_FILE)


def _write_config(folder: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
