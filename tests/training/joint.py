"""Trains the real network in this process, or in this one of several; the same points for all.

Points are drawn at random for each mask; how many masks a process has decides what it draws. To
compare processes with one process, every mask gets the same points here.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from odise_cli.cli.app import leave
from odise_cli.commands.train_head import build_head_task, find_head_parts
from odise_cli.config import TrainConfig
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.placement import Placement
from odise_cli.recipe.files import load_recipe
from odise_cli.training.loop import Trainer, num_passes, start_processes


def same_points(shape: tuple[int, ...], device: torch.device) -> Tensor:
    points = torch.rand(shape[1:], generator=torch.Generator().manual_seed(1))
    return points.expand(shape).contiguous().to(device)


def train_jointly(place: Path, run: Path, *settings: str) -> None:
    run.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(
        recipe=load_recipe(str(place / "recipe.toml"), settings), data=place / "set", out=run
    )
    accelerator = start_processes("cpu", "fp32")
    _, images = num_passes(config.recipe, accelerator.num_processes)
    parts = find_head_parts(config)
    stream = ShuffledStream(
        num_samples=len(parts.samples),
        seed=3,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
    )
    placement = Placement(device=accelerator.device, precision=torch.float32, batch_size=images)
    task = build_head_task(config, parts, placement, stream)
    criterion = task.objective.criterion
    criterion.sampler = replace(criterion.sampler, draw=same_points)
    Trainer(task, config.recipe, accelerator, run=run).train()
    accelerator.end_training()


if __name__ == "__main__":
    train_jointly(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
    leave(0)
