"""Checkpoints of a run: folders that are whole or not there, the newest few of them.

    checkpoints/
    └── step-00001000/
        ├── …                  the trained weights, as the task writes them
        └── optimizer.pt       step, optimiser, gradient scaler

Nothing else is needed to go on: order of images, learning rate and random numbers are functions
of the step. Knows folders; does not know what a step does.
"""

import io
import os
import pickle
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from odise_cli.errors import CheckpointError
from odise_cli.writers.atomic import explained_errors

FOLDER = "checkpoints"
STATE_FILE = "optimizer.pt"
_NAME = re.compile(r"step-(\d{8,})")


def find_checkpoints(run: Path) -> list[tuple[int, Path]]:
    """(step, folder) of each checkpoint of a run, oldest first."""
    found = []
    for path in (run / FOLDER).glob("step-*"):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((int(match[1]), path))
    return sorted(found)


def save_checkpoint(
    run: Path,
    step: int,
    state: Mapping[str, Any],
    *,
    write_weights: Callable[[Path], None],
    num_kept: int,
) -> Path:
    """Write a checkpoint, then remove all but the newest `num_kept`.

    Args:
        run: the run's folder.
        step: steps that were done.
        state: what `torch.save` can hold and `torch.load` reads without pickled classes.
        write_weights: writes the trained weights into the folder that it is given.
        num_kept: at least 1.

    Raises:
        OdiseError: the disk is full, or the folder cannot be written.
    """
    folder = run / FOLDER
    path = folder / f"step-{step:08d}"
    temporary = folder / ".incomplete"
    with explained_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        write_weights(temporary)
        # Through memory: torch's own writer does not say why a disk refused.
        content = io.BytesIO()
        torch.save({"step": step, **state}, content)
        (temporary / STATE_FILE).write_bytes(content.getbuffer())
        for file in temporary.rglob("*"):
            _flush(file)
        if path.exists():  # a run that was stopped right behind a checkpoint
            shutil.rmtree(path)
        temporary.rename(path)
        _flush(folder)
        for _, old in find_checkpoints(run)[:-num_kept]:
            shutil.rmtree(old)
    return path


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `save_checkpoint` was given as `state`, and the step; tensors on the CPU.

    Raises:
        CheckpointError: the file is missing or broken.
    """
    file = checkpoint / STATE_FILE
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{file}: cannot be read ({reason}). Expected a checkpoint of odise train. "
            "Remove its folder: --resume then goes on from the one before."
        ) from error
    return state


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk: a rename must not overtake its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
