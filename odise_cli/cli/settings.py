"""What was typed and what a settings file says, made into a `SegmentConfig`.

A settings file is TOML with one value per flag name: `batch-size = 4`, `write = ["panoptic"]`.
Flags win over the file, the file wins over the defaults. Opens no other file.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from odise_cli.cli.options import parse_batch_size, parse_shard, parse_size, split_commas
from odise_cli.config import OUTPUTS, InferenceConfig, SegmentConfig
from odise_cli.errors import UsageError
from odise_cli.storage import parse_location

_DEFAULTS = {field.name: field.default for field in fields(SegmentConfig)}
_HINTS = get_type_hints(SegmentConfig)
_FIELD_OF_KEY = {
    **{name: name for name in _DEFAULTS if name not in ("sources", "max_memory_bytes")},
    "max_memory": "max_memory_bytes",
    "resume": "overwrite",
}
"""Flag names with underscores, and the field that each fills."""


def segment_config(
    flags: Mapping[str, Any], *, typed: Collection[str], config_file: Path | None
) -> SegmentConfig:
    """Everything `odise segment` was asked to do.

    Args:
        flags: Every option's raw value by field name of `SegmentConfig`.
        typed: Names of those that the command line named; the others are defaults.
        config_file: A settings file, or None.

    Raises:
        UsageError: A value that means nothing, or a settings file that does.
    """
    values = {name: _parsed(name, flags[name], where=flag_name(name)) for name in _DEFAULTS}
    if config_file is not None:
        values |= {
            name: value for name, value in _read_settings(config_file).items() if name not in typed
        }
    return SegmentConfig(**values)


def inference_settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    """How a model shall run, by field name of `InferenceConfig`.

    Args:
        flags: Every option's raw value by field name.

    Raises:
        UsageError: A value that means nothing.
    """
    return {
        field.name: _parsed(field.name, flags[field.name], where=flag_name(field.name))
        for field in fields(InferenceConfig)
    }


def flag_name(name: str) -> str:
    """How a field is called on a command line."""
    return "--max-memory" if name == "max_memory_bytes" else "--" + name.replace("_", "-")


def _parsed(name: str, raw: Any, *, where: str) -> Any:
    """The value of a field from an option's raw value."""
    if raw is None:
        return _DEFAULTS[name]
    match name:
        case "sources" | "vocab":
            return tuple(raw)
        case "out":
            return parse_location(raw)
        case "stuff":
            return split_commas(raw)
        case "write":
            # In one order however they were named: equal settings have to look equal.
            names = split_commas(raw)
            return tuple(sorted(names, key=lambda n: (*OUTPUTS, n).index(n)))
        case "batch_size":
            return parse_batch_size(raw, where=where)
        case "max_memory_bytes":
            return parse_size(raw, where=where)
        case "shard":
            return parse_shard(raw, where=where)
    return raw


def _read_settings(path: Path) -> dict[str, Any]:
    """A settings file's values by field name of `SegmentConfig`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--config: {path} cannot be read ({error.strerror}). Expected a TOML file. "
            "Check the path."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path}: {error}. Expected TOML. Write settings as batch-size = 4."
        ) from error
    values: dict[str, Any] = {}
    for key, raw in table.items():
        name = _field_of(key, path=path)
        if name in values:
            raise UsageError(
                f"{path}: {key} sets what another line has set. Expected each setting once. "
                "Remove one of them."
            )
        values[name] = _setting(key, raw, name=name, where=f"{path}: {key}")
    return values


def _field_of(key: str, *, path: Path) -> str:
    name = _FIELD_OF_KEY.get(key.replace("-", "_"))
    if name is None:
        near = get_close_matches(key.replace("-", "_"), _FIELD_OF_KEY, n=1)
        hint = f"Did you mean {near[0].replace('_', '-')}?" if near else "Remove it."
        raise UsageError(
            f"{path}: {key} is no setting. Expected a flag of odise segment without its dashes. "
            f"{hint}"
        )
    return name


def _setting(key: str, raw: Any, *, name: str, where: str) -> Any:
    """One value of a settings file, checked, as `_parsed` gives it."""
    types, expected = _accepted_types(name)
    _check_type(raw, types, expected, where=where)
    if list in types:
        raw = raw if isinstance(raw, list) else [raw]
        for word in raw:
            _check_type(word, (str,), "a list of texts", where=where)
    elif float in types:
        raw = float(raw)
    elif int in types and str in types:
        raw = str(raw)
    elif Path in get_args(_HINTS[name]) and name != "out":
        raw = Path(raw)
    elif key == "resume":
        raw = not raw
    return _parsed(name, raw, where=where)


def _accepted_types(name: str) -> tuple[tuple[type, ...], str]:
    """The TOML types that a field takes, and how to call them."""
    if name in ("batch_size", "max_memory_bytes"):
        return (int, str), "a whole number or a text"
    hint = _HINTS[name]
    if get_origin(hint) is tuple:
        return (str, list), "a text or a list of texts"
    kinds = get_args(hint) or (hint,)
    if bool in kinds:
        return (bool,), "true or false"
    if float in kinds:
        return (int, float), "a number"
    if int in kinds:
        return (int,), "a whole number"
    return (str,), "a text"


def _check_type(raw: Any, types: tuple[type, ...], expected: str, *, where: str) -> None:
    # In Python a bool is an int; in a settings file it is a mistake where a number belongs.
    if not isinstance(raw, types) or (isinstance(raw, bool) and bool not in types):
        raise UsageError(f"{where}: {raw!r} is of the wrong type. Expected {expected}.")
