"""`run.json`: what a run folder was made with, and whether a new run may go on in it.

Knows settings as plain JSON values; does not know what any of them means.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odise_cli.errors import SettingsChangedError, UsageError
from odise_cli.structures import Category
from odise_cli.writers.atomic import explained_errors, write_atomic
from odise_cli.writers.semantic import category_json

_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, kw_only=True)
class RunJson:
    """The content of a `run.json`, all of it plain JSON values."""

    settings: dict[str, Any]
    """Whatever decides the results; one folder holds results of one setting."""
    vocabulary: list[dict[str, Any]]
    """The categories, in order of their index."""
    info: dict[str, Any]
    """What else is good to know: versions, licence notice; free to change between runs."""
    totals: dict[str, Any] | None
    """Counts and times of the last run; None until it has finished."""

    @classmethod
    def of(
        cls,
        *,
        settings: Mapping[str, Any],
        categories: Sequence[Category],
        info: Mapping[str, Any],
        totals: Mapping[str, Any] | None,
    ) -> "RunJson":
        """Settings as they will read when they come back from a file: no tuples."""
        return cls(
            settings=json.loads(json.dumps(dict(settings))),
            vocabulary=[category_json(category) for category in categories],
            info=dict(info),
            totals=None if totals is None else dict(totals),
        )

    @property
    def sha256(self) -> str:
        """Hash of settings and vocabulary; equal hashes promise comparable results."""
        decisive = {"settings": self.settings, "vocabulary": self.vocabulary}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def categories(self) -> list[Category]:
        """The vocabulary as categories."""
        return [
            Category(
                id=entry["id"],
                words=(entry["name"], *entry["synonyms"]),
                isthing=bool(entry["isthing"]),
                color=tuple(entry["color"]),
            )
            for entry in self.vocabulary
        ]

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        document = {
            "settings": self.settings,
            "settings_sha256": self.sha256,
            "info": self.info,
            "totals": self.totals,
            "vocabulary": self.vocabulary,
        }
        write_atomic(path, json.dumps(document, indent=1).encode() + b"\n")


def read_run_json(path: Path) -> RunJson | None:
    """What a `run.json` says; None where there is none.

    Raises:
        UsageError: a file of that name that no run of ours wrote.
    """
    with explained_errors(path):
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        document = json.loads(text)
        run = RunJson(
            **{key: document[key] for key in ("settings", "vocabulary", "info", "totals")}
        )
        run.categories()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"{path}: this is no run.json of odise. The folder belongs to something else. "
            "Give another --out."
        ) from error
    return run


def check_same_settings(folder: Path, old: RunJson, new: RunJson, *, advice: str) -> None:
    """Refuse to mix results of different settings.

    Args:
        folder: what the message is about, made with `old`.
        old: the settings it was made with.
        new: the settings asked for now.
        advice: the last sentence of the message.

    Raises:
        SettingsChangedError: names each setting that differs, with both values.
    """
    differences = [
        f"{key} was {_shown(old.settings, key)}, is now {_shown(new.settings, key)}"
        for key in sorted({*old.settings, *new.settings})
        if old.settings.get(key) != new.settings.get(key)
    ]
    if old.vocabulary != new.vocabulary:
        differences.append(_vocabulary_difference(old.vocabulary, new.vocabulary))
    if differences:
        raise SettingsChangedError(
            f"{folder}: made with other settings: {'; '.join(differences)}. "
            f"One folder holds the results of one setting. {advice}"
        )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return "not set"
    text = json.dumps(settings[key], ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _vocabulary_difference(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> str:
    if len(old) != len(new):
        return f"vocabulary had {len(old)} categories, has now {len(new)}"
    index, was, now = next(
        (index, was, now)
        for index, (was, now) in enumerate(zip(old, new, strict=True))
        if was != now
    )
    changed = ", ".join(
        f"{key} {was.get(key)!r} is now {now.get(key)!r}"
        for key in ("name", "id", "synonyms", "isthing", "color")
        if was.get(key) != now.get(key)
    )
    return f"vocabulary: category {index + 1} ({was.get('name')!r}): {changed}"
