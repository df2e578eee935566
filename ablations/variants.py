"""A model folder that differs from another in its configuration and shares its frozen parts."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from odise_cli.commands.model_source import find_model
from odise_cli.errors import MissingDataError
from odise_cli.model.checkpoint import CONFIG_FILE, EMPTY_CAPTION_FILE, HEAD_FILE


def write_variant(
    name: str, folder: Path, changes: Mapping[str, object], *, has_head: bool
) -> Path:
    """Write it, and return the folder.

    Args:
        name: a model folder, or a name that stands for one.
        folder: created if needed.
        changes: of its configuration.
        has_head: take the head along; without, one has to be trained.

    Raises:
        MissingDataError: the model has no folder.
        CheckpointError: the changes mean nothing.
    """
    source = find_model(name, weights=None, has_head=has_head)
    files = source.files
    if files is None:
        raise MissingDataError(
            f"--model: {name!r} has no weights. Expected a model folder. Give a trained model."
        )
    config = replace(source.config, **changes)
    places = {"diffusion": files.diffusion, "clip": files.clip}
    folder.mkdir(parents=True, exist_ok=True)
    if has_head:
        shutil.copyfile(files.head, folder / HEAD_FILE)
    if files.empty_caption is not None:
        shutil.copyfile(files.empty_caption, folder / EMPTY_CAPTION_FILE)
    content = {
        **config.to_json(),
        **{k: str(Path(v).resolve()) if Path(v).exists() else v for k, v in places.items()},
    }
    (folder / CONFIG_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder
