"""`odise train`: a recipe and data in, a run's folder out, which is a model at the end.

Everything cheap that can fail (the recipe, the words, the files, the folder) is settled before a
weight is loaded. Under torchrun every process runs this page; the first one alone writes.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from odise_cli.commands.train_head import HeadParts, find_head_parts
from odise_cli.commands.train_pictures import PictureParts, find_picture_parts
from odise_cli.config import TrainConfig
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.errors import SettingsChangedError, UsageError
from odise_cli.placement import Placement, place
from odise_cli.recipe.files import differing_settings, load_recipe, recipe_to_toml
from odise_cli.reports.training import TrainPlan, TrainReport
from odise_cli.training.checkpoints import find_checkpoints
from odise_cli.training.loop import Trainer, num_passes, start_processes
from odise_cli.training.metrics import METRICS_FILE, TENSORBOARD_NOTICE, has_tensorboard
from odise_cli.training.optimizer import count_parameters
from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.layout import LOCK
from odise_cli.writers.line_log import read_lines
from odise_cli.writers.lock import exclusive_lock

RECIPE_FILE = "recipe.toml"
REPORT_FILE = "report.json"


def plan_train(config: TrainConfig) -> TrainPlan:
    """Say what `run_train` would do in one process; loads no weights, writes nothing.

    Raises:
        OdiseError: what `run_train` would raise before its first step.
    """
    recipe = config.recipe
    placement = _place(config)
    passes, images = num_passes(recipe, 1)
    _check_folder(config)
    parts = _find_parts(config)
    checkpoints = find_checkpoints(config.out)
    return TrainPlan(
        task=recipe.task,
        model=recipe.model,
        out=config.out,
        num_images=parts.num_images,
        num_validation_images=parts.num_validation_images,
        num_categories=parts.num_categories,
        num_steps=recipe.steps,
        num_done_steps=checkpoints[-1][0] if checkpoints else 0,
        batch_size=recipe.batch_size,
        images_per_pass=images,
        passes_per_step=passes,
        num_processes=1,
        device=str(placement.device),
        precision=placement.precision_name,
        warnings=parts.warnings,
    )


def run_train(  # long because: the whole command, top to bottom
    config: TrainConfig,
    *,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int], None],
    should_stop: Callable[[], bool],
) -> TrainReport:
    """Train to the recipe's last step, or until somebody wants to stop.

    Args:
        config: what was asked for.
        on_notice: told, once each, what the user should know.
        on_progress: told (steps done, steps in all) after each step.
        should_stop: asked between steps; a checkpoint is then written.

    Raises:
        OdiseError: when the run cannot begin or go on. The last checkpoint is kept.
    """
    recipe = config.recipe
    placement = _place(config)
    accelerator = start_processes(placement.device.type, placement.precision_name)
    _, images = num_passes(recipe, accelerator.num_processes)
    parts = _find_parts(config)
    with _run_folder(config, is_first=accelerator.is_main_process):
        accelerator.wait_for_everyone()
        for message in (*parts.warnings, parts.notice, placement.notice):
            if message:
                on_notice(message)
        if not has_tensorboard():
            on_notice(TENSORBOARD_NOTICE)
        here = Placement(
            device=accelerator.device, precision=placement.precision, batch_size=images
        )
        stream = ShuffledStream(
            num_samples=parts.num_images,
            seed=recipe.seed,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )
        task = parts.build_task(config, here, stream)
        counts = count_parameters(task.objective)
        trainer = Trainer(task, recipe, accelerator, run=config.out, on_progress=on_progress)
        num_steps_before, started = trainer.step, time.perf_counter()
        is_complete = trainer.train(should_stop=should_stop)
        metrics, scores = _last_lines(config)
        report = TrainReport(
            out=config.out,
            task=recipe.task,
            num_trainable=counts.trainable,
            num_frozen=counts.frozen,
            num_steps=recipe.steps,
            num_steps_before=num_steps_before,
            num_done_steps=trainer.step,
            batch_size=recipe.batch_size,
            num_processes=accelerator.num_processes,
            device=str(accelerator.device),
            precision=placement.precision_name,
            seconds=time.perf_counter() - started,
            last_metrics=metrics,
            last_scores=scores,
        )
        if is_complete and accelerator.is_main_process:
            task.write_result(config.out)
            text = json.dumps(report.to_json(), indent=1)
            write_atomic(config.out / REPORT_FILE, text.encode() + b"\n")
        accelerator.end_training()
        return report


def _find_parts(config: TrainConfig) -> HeadParts | PictureParts:
    return find_head_parts(config) if config.recipe.task == "head" else find_picture_parts(config)


def _place(config: TrainConfig) -> Placement:
    """Where and how the run computes.

    Raises:
        UsageError: there is no such device, or it does not compute what is asked for.
    """
    placement = place(config.device, config.recipe.precision, None)
    kind, _, index = config.device.partition(":")
    if index:
        raise UsageError(
            f"--device: {config.device} names one of several. Expected auto, cpu, cuda or mps: "
            f"processes share the devices out. Use --device {kind} after "
            f"CUDA_VISIBLE_DEVICES={index}."
        )
    if placement.precision_name == "fp16" and placement.device.type != "cuda":
        raise UsageError(
            f"precision: fp16 does not train on {placement.device}. Expected fp32 or bf16. "
            "Use --precision fp32."
        )
    return placement


def _check_folder(config: TrainConfig) -> None:
    """Refuse a folder that holds another run, or one that nobody wants to go on with.

    Raises:
        SettingsChangedError: it was begun with another recipe; each difference is named.
        UsageError: it was begun, and `--resume` is missing.
    """
    path = config.out / RECIPE_FILE
    if not path.exists():
        return
    if not config.resume:
        raise UsageError(
            f"{config.out}: holds a training run. Expected a new folder, or --resume to go on "
            "with it. Add --resume, or give another --out."
        )
    differences = differing_settings(config.recipe, load_recipe(str(path)))
    if differences:
        raise SettingsChangedError(
            f"{config.out}: was begun with another recipe: {'; '.join(differences)}. Expected the "
            "same settings. Give them again, or another --out."
        )


@contextmanager
def _run_folder(config: TrainConfig, *, is_first: bool) -> Iterator[None]:
    """Hold the run's folder, with the recipe in it; only the first process does.

    Raises:
        TryAgainError: another run holds it.
        UsageError: as `_check_folder`.
    """
    if not is_first:
        yield
        return
    with exclusive_lock(config.out / LOCK):
        _check_folder(config)
        text = recipe_to_toml(config.recipe)
        write_atomic(config.out / RECIPE_FILE, text.encode())
        yield


def _last_lines(
    config: TrainConfig,
) -> tuple[Mapping[str, Any], Mapping[str, float | None] | None]:
    """The last losses and the last scores of `metrics.jsonl`."""
    lines = [json.loads(line) for _, line in read_lines(config.out / METRICS_FILE)]
    losses = [line for line in lines if "loss" in line]
    scores = [line["validation"] for line in lines if "validation" in line]
    return losses[-1] if losses else {}, scores[-1] if scores else None
