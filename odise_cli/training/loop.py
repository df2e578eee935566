"""The training loop: batches through an objective into updated weights, resumable bit by bit.

The seam is `Task`: whatever is trained (the segmentation head, CLIP, the autoencoder, the
diffusion model) is an objective, a stream of batches and a way to write its weights. Order of
batches, learning rate and random numbers are functions of the step, so that a checkpoint needs
only the weights and the optimiser. Knows no recipe's data, no command line and no metric's name.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from torch import Tensor, nn

from odise_cli.errors import TrainingError, UsageError
from odise_cli.recipe.schema import Recipe
from odise_cli.training.checkpoints import find_checkpoints, read_state, save_checkpoint
from odise_cli.training.metrics import MetricsLog
from odise_cli.training.optimizer import make_optimizer
from odise_cli.training.schedule import make_schedule

_PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one, which validates alone."""


class Losses(Protocol):
    """What an objective says of a batch."""

    @property
    def weighted(self) -> Mapping[str, Tensor]:
        """Scalars by name; they add up to the total."""

    @property
    def total(self) -> Tensor:
        """What is minimised, a scalar."""


class Batch(Protocol):
    """Images, or whatever an objective takes, of one pass of one process."""

    @property
    def names(self) -> Sequence[str]:
        """What its images are called; for messages."""

    def to(self, device: torch.device) -> Self:
        """The same on a device."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained: all that the loop knows of it."""

    objective: nn.Module
    """Batch → `Losses`, on the CPU; its parameters that require gradients are trained."""
    open_batches: Callable[[int], Iterator[Any]]
    """This process's endless stream of `Batch`es from the n-th pass of the run on, n from 0."""
    write_weights: Callable[[Path], None]
    """Writes the trained weights into a checkpoint's folder."""
    read_weights: Callable[[Path], None]
    """Reads them from there."""
    write_result: Callable[[Path], None]
    """Writes what the run was for into the run's folder, at the end."""
    validate: Callable[[], Mapping[str, float | None]] | None = None
    """Scores the objective's network as it is now, in the first process only."""


def start_processes(device: str, precision: str) -> Accelerator:
    """Join the processes that torchrun started, or be the only one.

    Args:
        device: `cpu`, or anything else for this process's accelerator.
        precision: `fp32`, `bf16` or `fp16`.
    """
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[
            # Nothing here changes a buffer, and the noise's need not be sent at every pass.
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=_PATIENCE),
        ],
    )


def num_passes(recipe: Recipe, num_processes: int) -> tuple[int, int]:
    """(passes of one step, images of one pass and process).

    Raises:
        UsageError: the batch cannot be shared out evenly.
    """
    images = recipe.images_per_pass or max(1, recipe.batch_size // num_processes)
    passes, rest = divmod(recipe.batch_size, images * num_processes)
    if rest or not passes:
        raise UsageError(
            f"batch_size: {recipe.batch_size} images cannot be shared out to {num_processes} "
            f"processes, {images} at once. Expected a multiple of {images * num_processes}. "
            "Change batch_size or images_per_pass."
        )
    return passes, images


class Trainer:
    """One run of the loop in one process."""

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        accelerator: Accelerator,
        *,
        run: Path,
        on_progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        """Prepare the objective and its optimiser, and go back to the newest checkpoint.

        Args:
            task: what is trained.
            recipe: how.
            accelerator: this process among all of them.
            run: the folder for checkpoints and metrics; must be there.
            on_progress: told (steps done, steps in all).

        Raises:
            OdiseError: nothing is trainable, or the checkpoint cannot be used.
        """
        self.task, self.recipe, self.accelerator, self.run = task, recipe, accelerator, run
        self.passes, _ = num_passes(recipe, accelerator.num_processes)
        self.schedule = make_schedule(recipe.schedule, recipe.steps)
        self.step = 0
        self.on_progress = on_progress
        checkpoints = find_checkpoints(run)
        if checkpoints:
            self.step, newest = checkpoints[-1]
            task.read_weights(newest)
        # The optimiser's parameters have to be on the device before its state is read.
        task.objective.to(accelerator.device)
        optimizer = make_optimizer(task.objective, recipe.optimizer)
        self.objective, self.optimizer = accelerator.prepare(task.objective, optimizer)
        self.parameters = [p for p in task.objective.parameters() if p.requires_grad]
        if checkpoints:
            self._restore(read_state(newest))

    def train(self, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the recipe's last step, or until somebody wants to stop.

        Args:
            should_stop: asked after each step.

        Returns:
            whether the last step was reached; a checkpoint is there in any case.

        Raises:
            TrainingError: a loss or a gradient is not finite.
            OdiseError: an image cannot be read, or the disk is full.
        """
        recipe, is_first = self.recipe, self.accelerator.is_main_process
        log = MetricsLog(self.run, step=self.step) if is_first else None
        batches = self.task.open_batches(self.step * self.passes)
        clock = _Clock(recipe.batch_size, self.accelerator.device)
        try:
            saved_step = self.step if self.step else None
            while self.step < recipe.steps and not self._anybody(should_stop()):
                measured = self.train_step(batches, clock)
                is_last = self.step == recipe.steps
                if self.step % recipe.log_every == 0 or is_last:
                    values = self._to_numbers(measured) | clock.lap()
                    if log is not None:
                        log.write(self.step, values)
                if self._is_time(recipe.validation.every) and (scores := self._validate()):
                    if log is not None:
                        log.write(self.step, {"validation": scores})
                    clock.restart()
                if self._is_time(recipe.checkpoint_every):
                    self.save()
                    saved_step = self.step
                    clock.restart()
                self.on_progress(self.step, recipe.steps)
            if saved_step != self.step:
                self.save()
        finally:
            if log is not None:
                log.close()
        return self.step == recipe.steps

    def train_step(self, batches: Iterator[Any], clock: "_Clock") -> dict[str, Tensor | float]:
        """One update of the weights: every pass's gradients added up, clipped and applied."""
        accelerator, recipe = self.accelerator, self.recipe
        learning_rate = recipe.optimizer.learning_rate * self.schedule(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        sums: dict[str, Tensor] = {}
        names: list[str] = []
        for number in range(self.passes):
            with clock.waiting_for_data():
                batch = next(batches).to(accelerator.device)
            names += batch.names
            torch.manual_seed(self._seed(number))
            is_last = number + 1 == self.passes
            with nullcontext() if is_last else accelerator.no_sync(self.objective):
                losses = self.objective(batch)
                self._refuse_non_finite("loss", losses.total, batch.names)
                accelerator.backward(losses.total / self.passes)
            for name, loss in {**losses.weighted, "loss": losses.total}.items():
                sums[name] = sums.get(name, 0.0) + loss.detach() / self.passes
        norm = accelerator.clip_grad_norm_(
            self.parameters, recipe.optimizer.clip_norm or float("inf")
        )
        if accelerator.scaler is None:  # fp16's scaler leaves such a step out by itself
            self._refuse_non_finite("gradient norm", norm, names)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        clock.num_steps += 1
        return {**sums, "gradient_norm": norm, "learning_rate": learning_rate}

    def save(self) -> None:
        """Write a checkpoint of what was done so far; the first process does, the others wait."""
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            save_checkpoint(
                self.run,
                self.step,
                {
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": None if scaler is None else scaler.state_dict(),
                },
                write_weights=self.task.write_weights,
                num_kept=self.recipe.keep_checkpoints,
            )
        self.accelerator.wait_for_everyone()

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _seed(self, number: int) -> int:
        """Seed of the random numbers of one pass of this process, whatever went before."""
        parts = [self.recipe.seed, self.step, number, self.accelerator.process_index]
        return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)

    def _is_time(self, every: int) -> bool:
        return every > 0 and (self.step % every == 0 or self.step == self.recipe.steps)

    def _validate(self) -> dict[str, float | None] | None:
        scores = None
        if self.task.validate is not None and self.accelerator.is_main_process:
            scores = dict(self.task.validate())
        self.accelerator.wait_for_everyone()
        return scores

    def _anybody(self, is_wanted: bool) -> bool:
        """Whether any of the processes wants it: they have to leave the loop together."""
        if self.accelerator.num_processes == 1:
            return is_wanted
        wish = torch.tensor(float(is_wanted), device=self.accelerator.device)
        return bool(self.accelerator.reduce(wish, "sum") > 0)

    def _to_numbers(self, measured: Mapping[str, Tensor | float]) -> dict[str, float]:
        """The mean over the processes of each tensor; plain numbers are the same in all of them."""
        tensors = {name: v.float() for name, v in measured.items() if isinstance(v, Tensor)}
        means = self.accelerator.reduce(torch.stack(list(tensors.values())), "mean").tolist()
        return {
            **dict(zip(tensors, means, strict=True)),
            **{name: v for name, v in measured.items() if not isinstance(v, Tensor)},
        }

    def _refuse_non_finite(self, what: str, value: Tensor, names: Sequence[str]) -> None:
        if not torch.isfinite(value).all():
            raise TrainingError(
                f"step {self.step + 1}: the {what} is {value.item()}, with the images "
                f"{', '.join(names)}. Expected a finite number. Look at these images; then lower "
                "optimizer.learning_rate, or set precision = 'fp32'."
            )


class _Clock:
    """Seconds and memory of a stretch of steps."""

    def __init__(self, batch_size: int, device: torch.device) -> None:
        self.batch_size, self.device = batch_size, device
        self.restart()

    def restart(self) -> None:
        """Begin a new stretch; what was since the last one belongs to neither."""
        self.num_steps, self._data_seconds, self._start = 0, 0.0, time.perf_counter()

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """The device has nothing to do while the block lasts."""
        start = time.perf_counter()
        yield
        self._data_seconds += time.perf_counter() - start

    def lap(self) -> dict[str, float]:
        """Means of the stretch, which ends here."""
        seconds = (time.perf_counter() - self._start) / self.num_steps
        values = {
            "step_seconds": seconds,
            "data_seconds": self._data_seconds / self.num_steps,
            "images_per_second": self.batch_size / seconds,
            "memory_mib": _peak_bytes(self.device) / 2**20,
        }
        self.restart()
        return values


def _peak_bytes(device: torch.device) -> int:
    """The most that was ever in use: of the GPU's memory, or of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # In kilobytes on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
