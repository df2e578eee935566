"""`odise models list|pull|verify`: which models there are and what is here of them.

Returns data; the command line prints it. Loads no weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from odise_cli import hub


@dataclass(frozen=True, kw_only=True)
class FileStatus:
    """One published file, for a row of a table."""

    name: str
    path: Path
    url: str
    licence: str
    size_bytes: int | None
    """The published size; None where it is not published."""
    state: hub.FileState


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One model and its files; `files` is empty for the bundled one."""

    name: str
    files: tuple[FileStatus, ...]
    size: str
    """All files together, in words."""
    licence: str
    notice: str | None
    """What a user has to be told before using the weights."""

    @property
    def state(self) -> Literal["bundled", "ready", "incomplete"]:
        """Whether the model can be used now, as far as its files were looked at."""
        if not self.files:
            return "bundled"
        return "ready" if all(f.state in ("present", "ok") for f in self.files) else "incomplete"


def list_models() -> tuple[ModelStatus, ...]:
    """Every model that `--model` knows by name, with what is here of it; no file is read."""
    published = (_published_status(name, _presences(name)) for name in hub.PUBLISHED_MODELS)
    return (*published, _bundled_status())


def pull_models(
    name: str, *, offline: bool = False, on_progress: hub.OnProgress | None = None
) -> ModelStatus:
    """Fetch what a model lacks; a complete or bundled model is left alone.

    Raises:
        UsageError: No model has this name, or the cache folder cannot be written.
        MissingDataError: `offline` and a file is not here; or the server has no such file.
        TryAgainError: The network, the server or the disk failed; or another pull is running.
    """
    if name == hub.BUNDLED_MODEL:
        return _bundled_status()
    hub.pull(name, offline=offline, on_progress=on_progress)
    return _published_status(name, _presences(name))


def verify_models(name: str) -> ModelStatus:
    """Read every file of a model and compare it with what is published.

    Raises:
        UsageError: No model has this name.
    """
    return (
        _bundled_status()
        if name == hub.BUNDLED_MODEL
        else _published_status(name, hub.verify(name))
    )


def _presences(name: str) -> tuple[hub.FileCheck, ...]:
    files = hub.published_model(name).files
    return tuple(hub.FileCheck(file=file, state=hub.presence(file)) for file in files)


def _published_status(name: str, checks: tuple[hub.FileCheck, ...]) -> ModelStatus:
    return ModelStatus(
        name=name,
        files=tuple(
            FileStatus(
                name=check.file.name,
                path=check.file.path,
                url=check.file.url,
                licence=check.file.licence,
                size_bytes=check.file.size_bytes,
                state=check.state,
            )
            for check in checks
        ),
        size=hub.total_size_text([check.file for check in checks]),
        licence=", ".join(dict.fromkeys(check.file.licence for check in checks)),
        notice=hub.LICENCE_NOTICE,
    )


def _bundled_status() -> ModelStatus:
    num_bytes = sum(path.stat().st_size for path in hub.BUNDLED_FOLDER.rglob("*.safetensors"))
    return ModelStatus(
        name=hub.BUNDLED_MODEL,
        files=(),
        size=hub.size_text(num_bytes),
        licence="Apache-2.0",
        notice=None,
    )
