"""The tasks `clip`, `autoencoder` and `diffusion`: the tiny model's frozen parts, from nothing.

All three see captioned pictures of the synthetic world, never a mask. Each goes on with a part
of a model folder and leaves a model folder behind, so that a chain of runs makes a model.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from odise_cli.commands.model_source import ModelSource, find_model
from odise_cli.config import TrainConfig
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.data.world.pictures import draw_pictures
from odise_cli.errors import UsageError
from odise_cli.model.frozen_weights import read_clip_config
from odise_cli.model.tiny import new_tiny, tiny_clip_config
from odise_cli.placement import Placement
from odise_cli.training.loop import Task
from odise_cli.training.picture_task import make_picture_task

NEW = "new"
_SCENE_SIDE_PX = 128
_NOISE = 42
"""Seed of the diffusion model's fixed noise, as everywhere."""


@dataclass(frozen=True, kw_only=True)
class PictureParts:
    """Everything that training on pictures needs, found and not loaded."""

    source: ModelSource | None
    """None for a new tiny model."""
    num_images: int
    num_validation_images: int = 0
    num_categories: int = 0
    warnings: tuple[str, ...] = ()
    notice: str = ""

    def build_task(self, config: TrainConfig, placement: Placement, stream: ShuffledStream) -> Task:
        """As `build_picture_task`."""
        return build_picture_task(config, self, placement, stream)


def find_picture_parts(config: TrainConfig) -> PictureParts:
    """Find the model that the run goes on with.

    Raises:
        MissingDataError: there is no such model.
        UsageError: the recipe asks for what these tasks cannot do.
    """
    recipe = config.recipe
    if recipe.data.dataset != "world":
        raise UsageError(
            f"data.dataset: {recipe.data.dataset!r} has no task {recipe.task!r}. "
            "Expected 'world'. Published CLIP and diffusion models need no training."
        )
    if recipe.validation.every:
        raise UsageError(
            f"validation.every: {recipe.validation.every} means nothing to task {recipe.task!r}. "
            "Expected 0. Remove it."
        )
    if recipe.model == NEW and recipe.task == "diffusion":
        raise UsageError(
            "model: 'new' has no latents and no captions to learn from. Expected the model folder "
            "of a run of task autoencoder. Add --set model=RUN."
        )
    if recipe.model == NEW and recipe.freeze_text:
        raise UsageError(
            "freeze_text: the text tower of 'new' has learned no word. Expected the model folder "
            "of a run of task clip. Add --set model=RUN."
        )
    source = None
    if recipe.model != NEW:
        source = find_model(recipe.model, weights=None, has_head=False)
        if source.config.is_trained:
            # Its head stays in the folder that the run leaves; without it, there would be another.
            source = find_model(recipe.model, weights=None)
    return PictureParts(source=source, num_images=recipe.data.num_scenes)


def build_picture_task(
    config: TrainConfig,
    parts: PictureParts,
    placement: Placement,
    stream: ShuffledStream,
) -> Task:
    """Draw the scenes, load the model and make one part of it a task.

    Args:
        config: what was asked for.
        parts: what was found.
        placement: where this process computes; its batch is that of one pass.
        stream: this process's share of the run's order.

    Raises:
        MissingDataError: a part of the model is missing.
        CheckpointError: a part cannot be used.
    """
    recipe = config.recipe
    if parts.source is None:
        size = recipe.data.crop_size
        model, clip_config = new_tiny(image_size=size, seed=recipe.seed), tiny_clip_config(size)
    else:
        assert parts.source.files is not None
        has_head = parts.source.config.is_trained
        model = parts.source.load(offline=config.offline, seed=_NOISE, has_head=has_head)
        clip_config = read_clip_config(Path(parts.source.files.clip))
    pictures = draw_pictures(
        recipe.data.num_scenes,
        side_px=_SCENE_SIDE_PX,
        seed=recipe.seed,
        close_up=recipe.data.close_up,
        num_workers=os.cpu_count() or 1,
    )
    return make_picture_task(
        recipe,
        model,
        clip_config,
        pictures,
        stream,
        images_per_pass=placement.batch_size,
    )
