"""The folder of `odise draw`: scenes go in, and survive whatever happens to the process.

As in a run folder, a scene counts when its line is in the journal, which is after its pictures
are in place. Knows what a scene's files hold only as bytes and JSON values.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import odise_cli
from odise_cli.config import DrawConfig
from odise_cli.data.world.concepts import CONCEPTS
from odise_cli.data.world.dataset import category_of
from odise_cli.errors import UsageError
from odise_cli.writers.atomic import explained_errors, temporary_path, write_atomic
from odise_cli.writers.layout import LOCK
from odise_cli.writers.line_log import LineLog, read_lines
from odise_cli.writers.lock import exclusive_lock
from odise_cli.writers.run_json import RunJson, check_same_settings, read_run_json

DRAW_JSON = "draw.json"
_JOURNAL = ".odise/scenes.jsonl"
_PICTURES = ("images", "panoptic")


class DrawnFolder:
    """A folder of scenes that this process holds; made by `open_drawn_folder`."""

    def __init__(self, path: Path, journal: LineLog) -> None:
        self.path = path
        self._journal = journal
        self.entries = dict(_finished_entries(path))
        """What the collected files will say of a scene, by its number; of finished ones only."""

    def write(self, number: int, pictures: Mapping[str, bytes], entry: Mapping[str, Any]) -> None:
        """Write the pictures of a scene, then say in the journal that they are there.

        Args:
            number: of the scene, from 1.
            pictures: PNG bytes for `images` and `panoptic`.
            entry: JSON values that the collected files need.

        Raises:
            OdiseError: as `explained_errors` says; the scene then counts as not drawn.
        """
        for part in _PICTURES:
            write_atomic(_picture(self.path, part, number), pictures[part])
        line = json.dumps({"number": number, **entry}).encode() + b"\n"
        # Not flushed: what a power cut takes from the journal is drawn again.
        self._journal.append(line, flush=False)
        self.entries[number] = dict(entry)


@contextmanager
def open_drawn_folder(config: DrawConfig) -> Iterator[DrawnFolder]:
    """Make the folder of a command, or take up where the same command stopped.

    Raises:
        SettingsChangedError: it was begun with other settings; names each.
        UsageError: it holds files of others, or cannot be written.
        TryAgainError: another process draws into it, or the disk is full.
    """
    run = RunJson.of(
        # No output of a model is among the files; `write` says which are, in a run.json.
        settings={**_settings(config), "write": []},
        categories=[category_of(concept) for concept in CONCEPTS],
        info={"odise": odise_cli.__version__},
        totals=None,
    )
    out = config.out
    with explained_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        _refuse_files_of_others(out)
    with exclusive_lock(out / LOCK):
        begun = read_run_json(out / DRAW_JSON)
        if begun is None:
            run.write(out / DRAW_JSON)
        else:
            check_same_settings(
                out,
                found=begun,
                expected=run,
                expected_by="asked for now",
                advice="Give another --out.",
            )
        with closing(LineLog(out / _JOURNAL)) as journal:
            yield DrawnFolder(out, journal)


def _settings(config: DrawConfig) -> dict[str, Any]:
    """Everything that decides the files: all that was asked for but the place."""
    return {name: value for name, value in asdict(config).items() if name != "out"}


def _refuse_files_of_others(out: Path) -> None:
    """Refuse a folder that is neither empty nor one of ours; changes nothing."""
    # What is there when a process was killed before its draw.json was.
    ours = {Path(LOCK).parts[0], temporary_path(out / DRAW_JSON).name}
    if not (out / DRAW_JSON).exists() and any(path.name not in ours for path in out.iterdir()):
        raise UsageError(
            f"--out: {out} is not empty. Expected an empty or a new folder, or one that the same "
            "command began. Give another --out."
        )


def _finished_entries(out: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The scenes of the journal whose pictures are there; other lines count for nothing."""
    for _, line in read_lines(out / _JOURNAL):
        try:
            entry = json.loads(line)
            number = entry.pop("number")
        except (ValueError, AttributeError, KeyError):
            continue
        if all(_picture(out, part, number).is_file() for part in _PICTURES):
            yield number, entry


def _picture(out: Path, part: str, number: int) -> Path:
    return out / part / f"{number:06d}.png"
