"""`run.json`: what a run folder was made with, and whether a new run may go on in it.

Knows settings as plain JSON values; does not know what any of them means.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odise_cli.config import OUTPUTS
from odise_cli.errors import SettingsChangedError, UsageError
from odise_cli.storage import Location, Url, explained_storage_errors, read_bytes
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
    def outputs(self) -> list[str]:
        """What the run writes; one of its settings."""
        outputs: list[str] = self.settings["write"]
        return outputs

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


def read_run_json(path: Location) -> RunJson | None:
    """What a `run.json` says; None where there is none.

    Raises:
        UsageError: a file of that name that no run of ours wrote.
    """
    with explained_storage_errors(path) if isinstance(path, Url) else explained_errors(path):
        try:
            text = read_bytes(path) if isinstance(path, Url) else path.read_bytes()
        except FileNotFoundError:
            return None
    try:
        document = json.loads(text)
        keys = ("settings", "vocabulary", "info", "totals")
        run = RunJson(**{key: document[key] for key in keys})
        run.categories()
        if set(run.outputs) <= set(OUTPUTS):
            return run
    except (ValueError, TypeError, KeyError):
        pass
    raise UsageError(
        f"{path}: this is no {path.name} of odise. The folder belongs to something else. "
        "Give another --out."
    )


def check_same_settings(
    folder: Location, *, found: RunJson, expected: RunJson, expected_by: str, advice: str
) -> None:
    """Refuse to mix results of different settings.

    Args:
        folder: what the message is about; `found` is what it was made with.
        found: the settings that are there.
        expected: the settings that should be there.
        expected_by: whose settings the expected ones are, to complete "other settings than".
        advice: the last sentence of the message.

    Raises:
        SettingsChangedError: names each setting that differs, with both values.
    """
    differences = [
        f"{key} {_shown(found.settings, key)} instead of {_shown(expected.settings, key)}"
        for key in sorted({*found.settings, *expected.settings})
        if found.settings.get(key) != expected.settings.get(key)
    ]
    if found.vocabulary != expected.vocabulary:
        differences.append(_vocabulary_difference(found.vocabulary, expected.vocabulary))
    if differences:
        raise SettingsChangedError(
            f"{folder}: made with other settings than {expected_by}: {'; '.join(differences)}. "
            f"One folder holds the results of one setting. {advice}"
        )


def _shown(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return "(not set)"
    text = json.dumps(settings[key])
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    # Both ends: paths differ in the last one as a rule.
    return f"{text[: _SHOWN_CHARACTERS // 2]}…{text[-_SHOWN_CHARACTERS // 2 :]}"


def _vocabulary_difference(
    found: Sequence[Mapping[str, Any]], expected: Sequence[Mapping[str, Any]]
) -> str:
    if len(found) != len(expected):
        return f"vocabulary of {len(found)} categories instead of {len(expected)}"
    number, was, wanted = next(
        (number, was, wanted)
        for number, (was, wanted) in enumerate(zip(found, expected, strict=True), start=1)
        if was != wanted
    )
    changed = ", ".join(
        f"{key} {_shown(was, key)} instead of {_shown(wanted, key)}"
        for key in wanted
        if was[key] != wanted[key]
    )
    return f"vocabulary, category {number} ({_shown(was, 'name')}): {changed}"
