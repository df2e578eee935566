"""Something small to train: a line through points, with random numbers and two processes."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.cli.app import leave
from odise_cli.recipe.schema import OptimizerConfig, Recipe, ScheduleConfig
from odise_cli.training.loop import Task, Trainer, num_passes, start_processes

WEIGHTS = "line.safetensors"


@dataclass
class Points:
    names: tuple[str, ...]
    x: Tensor
    y: Tensor

    def to(self, device: torch.device) -> "Points":
        return Points(self.names, self.x.to(device), self.y.to(device))


@dataclass
class Parts:
    weighted: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        return sum(self.weighted.values(), torch.tensor(0.0))


class Line(nn.Module):
    """Fits y = a x + b; with noise, from points that are moved at random."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.frozen = nn.Linear(3, 1), nn.Linear(3, 1).requires_grad_(False)
        self.noise = noise

    def forward(self, batch: Points) -> Parts:
        x = batch.x + self.noise * torch.randn_like(batch.x)
        error = F.mse_loss(self.linear(x), batch.y)
        return Parts({"fit": error, "size": 0.1 * self.linear.weight.square().sum()})


def points(number: int) -> tuple[str, Tensor, Tensor]:
    x = torch.randn(3, generator=torch.Generator().manual_seed(number))
    return f"point-{number}", x, (x.sum() * 2 + 1)[None]


def toy_task(recipe: Recipe, rank: int = 0, world: int = 1, noise: float = 0.0) -> Task:
    line = Line(noise)
    _, count = num_passes(recipe, world)

    def open_batches(first: int) -> Iterator[Points]:
        number = first
        while True:
            start = (number * world + rank) * count
            names, x, y = zip(*(points(i) for i in range(start, start + count)), strict=True)
            yield Points(names, torch.stack(x), torch.stack(y))
            number += 1

    return Task(
        objective=line,
        open_batches=open_batches,
        write_weights=lambda folder: save_file(line.linear.state_dict(), folder / WEIGHTS),
        read_weights=lambda folder: line.linear.load_state_dict(load_file(folder / WEIGHTS)),
        write_result=lambda _: None,
    )


def toy_recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "task": "head",
        "steps": 6,
        "batch_size": 4,
        "log_every": 1,
        "checkpoint_every": 2,
        "precision": "fp32",
        "optimizer": OptimizerConfig(learning_rate=0.1, clip_norm=1.0),
        "schedule": ScheduleConfig(kind="constant", warmup=0.5),
    }
    return Recipe(**(values | changes))  # type: ignore[arg-type]


def train_toy(run: Path, recipe: Recipe, noise: float = 0.0, stop_at: int | None = None) -> bool:
    """Train in this process, or in this one of several."""
    run.mkdir(parents=True, exist_ok=True)
    accelerator = start_processes("cpu", "fp32")
    task = toy_task(recipe, accelerator.process_index, accelerator.num_processes, noise)
    trainer = Trainer(task, recipe, accelerator, run=run)
    ended = trainer.train(should_stop=lambda: trainer.step == stop_at)
    accelerator.end_training()
    return ended


if __name__ == "__main__":
    train_toy(Path(sys.argv[1]), toy_recipe(images_per_pass=int(sys.argv[2])))
    leave(0)
