"""A part of the tiny model as something to train: CLIP, the autoencoder or the UNet.

Knows how the parts hang together; does not know recipes' files or folders' names.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from odise_cli.data.training.stream import ShuffledStream
from odise_cli.data.world.pictures import Pictures
from odise_cli.errors import UsageError
from odise_cli.model.checkpoint import save_model_folder
from odise_cli.model.frozen_weights import resized_clip
from odise_cli.model.odise import Odise
from odise_cli.model.weights_file import check_tensors, read_tensors
from odise_cli.recipe.schema import Recipe
from odise_cli.training.loop import Task
from odise_cli.training.picture_batches import (
    PicturePasses,
    open_part_batches,
    open_region_batches,
    open_window_batches,
)
from odise_cli.training.pretraining import (
    AutoencoderObjective,
    ContrastiveObjective,
    DenoisingObjective,
    PictureBatch,
    unit_scaling_factor,
)

_PART_FILE = "part.safetensors"
_NUM_MEASURED = 256
"""Pictures whose latents decide the scaling factor."""


def make_picture_task(
    recipe: Recipe,
    model: Odise,
    clip_config: Mapping[str, Any],
    pictures: Pictures,
    stream: ShuffledStream,
    *,
    images_per_pass: int,
) -> Task:
    """One part of a model, learning from captioned pictures.

    Args:
        recipe: which part, and how the pictures are seen.
        model: frozen, on the CPU; changed in place.
        clip_config: open_clip's `model_cfg` of its CLIP.
        pictures: what the stream's indices count.
        stream: this process's share of the run's order.
        images_per_pass: of this process.
    """
    size = recipe.data.crop_size
    if recipe.task == "clip" and model.clip.image_size != size:
        model.clip, clip_config = resized_clip(model.clip, clip_config, size)
    objective, part = _objective(recipe, model)
    passes = PicturePasses(pictures=pictures, stream=stream, images_per_pass=images_per_pass)
    return Task(
        objective=objective,
        open_batches=_batches(recipe, model, passes),
        write_weights=lambda folder: save_file(_tensors(part), folder / _PART_FILE),
        read_weights=lambda folder: _read_part(part, folder / _PART_FILE),
        write_result=lambda folder: _save(recipe.task, model, clip_config, pictures, folder),
    )


def _batches(
    recipe: Recipe, model: Odise, passes: PicturePasses
) -> Callable[[int], Iterator[PictureBatch]]:
    data, patch_px = recipe.data, model.clip.patch_size
    if recipe.task != "clip" or not data.part_sides:
        return partial(
            open_window_batches, passes, side_px=data.crop_size, min_window=data.min_window
        )
    most = passes.pictures.images_NHW3.shape[1] // patch_px
    largest = max(data.part_sides)
    if largest > most:
        raise UsageError(
            f"data.part_sides: {largest} patches are more than a scene has. "
            f"Expected at most {most}. Leave the larger ones out."
        )
    if not data.num_regions:
        return partial(open_part_batches, passes, sides=data.part_sides, patch_px=patch_px)
    return partial(
        open_region_batches,
        passes,
        num_regions=data.num_regions,
        sides=data.part_sides,
        patch_px=patch_px,
        single_words=data.single_words,
    )


def _objective(recipe: Recipe, model: Odise) -> tuple[nn.Module, nn.Module]:
    """What is minimised, and the part of the model that learns."""
    diffusion = model.diffusion
    if recipe.task == "clip":
        model.clip.requires_grad_(not recipe.freeze_text)
        model.clip.model.visual.requires_grad_(True)
        model.clip.model.logit_scale.requires_grad_(True)
        return ContrastiveObjective(model.clip), model.clip
    if recipe.task == "autoencoder":
        return AutoencoderObjective(diffusion.vae.requires_grad_(True)), diffusion.vae
    unet = diffusion.unet.requires_grad_(True)
    return DenoisingObjective(unet, diffusion.vae, model.clip), unet


@torch.no_grad()
def _save(
    task: str, model: Odise, clip_config: Mapping[str, Any], pictures: Pictures, folder: Path
) -> None:
    """Write the whole model, with what follows from the part that has learned.

    The latents' scale is measured where the autoencoder was trained. The UNet's empty caption is
    that of the text tower that it learned with: CLIP may go on learning after it.
    """
    model.to("cpu").eval()
    if task == "autoencoder":
        images_N3HW = torch.from_numpy(pictures.images_NHW3[:_NUM_MEASURED]).permute(0, 3, 1, 2)
        factor = unit_scaling_factor(model.diffusion.vae, images_N3HW.float() / 255.0)
        model.diffusion.vae.register_to_config(scaling_factor=factor)
    if task == "diffusion":
        model.captioner.empty_caption.copy_(model.clip.encode_states([""]))
    save_model_folder(model, clip_config, folder)


def _tensors(part: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.contiguous().cpu() for name, tensor in part.state_dict().items()}


def _read_part(part: nn.Module, path: Path) -> None:
    tensors = read_tensors(path)
    check_tensors(str(path), tensors, part.state_dict())
    part.load_state_dict(tensors)
