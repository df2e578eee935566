"""Recipes as files: found by name, read, changed by `--set`, written, compared.

Knows TOML and the types of the fields; what the values mean is checked in `schema.py`.
"""

import dataclasses
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

from odise_cli.errors import MissingDataError, UsageError
from odise_cli.recipe.schema import Recipe

_PACKAGE: Final = Path(__file__).parents[1]
_FOLDERS: Final = (_PACKAGE / "_recipes", _PACKAGE.parent / "recipes")
"""Where a wheel has them, and where a checkout has them."""
_WITHOUT_EFFECT: Final = {
    "log_every",
    "checkpoint_every",
    "keep_checkpoints",
    "checkpoint_activations",
    "cache_features",
    "data.num_workers",
}
"""Keys that decide no bit of the weights, nor their scores: a run may go on with others."""


def bundled_recipes() -> tuple[str, ...]:
    """The names of the recipes that come with the package, sorted."""
    return tuple(sorted(path.stem for path in _bundled_folder().glob("*.toml")))


def load_recipe(spec: str, settings: Sequence[str] = ()) -> Recipe:
    """Read what `--recipe` names, and change it by `--set`.

    Args:
        spec: an existing file, or a bundled name with or without `.toml`.
        settings: `key=value` with dotted keys, such as `optimizer.learning_rate=1e-3`.

    Raises:
        MissingDataError: there is no such recipe.
        UsageError: it is no TOML, a key is unknown, or a value means nothing.
    """
    path = _find(spec)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            f"{path}: {error}. Expected a recipe in TOML. Correct the file."
        ) from error
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--set: {setting!r} sets nothing. Expected KEY=VALUE. "
                "Use for example steps=100 or optimizer.learning_rate=1e-3."
            )
        _put(table, key.strip().split("."), _value(text.strip()))
    recipe: Recipe = _build(Recipe, table, where=str(path), prefix="")
    return recipe


def recipe_to_toml(recipe: Recipe) -> str:
    """A whole recipe as TOML, which `load_recipe` reads back; what is None is left out."""
    scalars: list[str] = []
    tables: list[str] = []
    for key, value in _flat(recipe):
        table, _, name = key.rpartition(".")
        if value is None:
            continue
        lines = tables if table else scalars
        if table and f"\n[{table}]" not in lines:
            lines.append(f"\n[{table}]")
        lines.append(f"{name} = {_to_toml(value)}")
    return "\n".join([*scalars, *tables]) + "\n"


def differing_settings(recipe: Recipe, other: Recipe) -> list[str]:
    """`key: value, was other` for each key that decides the weights or what they score."""
    others = dict(_flat(other))
    return [
        f"{key}: {_to_toml(value)}, was {_to_toml(others[key])}"
        for key, value in _flat(recipe)
        if value != others[key] and key not in _WITHOUT_EFFECT
    ]


def _bundled_folder() -> Path:
    return next(folder for folder in _FOLDERS if folder.is_dir())


def _find(spec: str) -> Path:
    path = Path(spec)
    if path.is_file():
        return path
    names = bundled_recipes()
    name = spec.removesuffix(".toml")
    if name in names:
        return _bundled_folder() / f"{name}.toml"
    near = get_close_matches(name, names, n=1)
    advice = f"Did you mean {near[0]}?" if near else "Check the path."
    raise MissingDataError(
        f"--recipe: {spec!r} is neither a file nor a recipe. Expected a TOML file or one of "
        f"{', '.join(names)}. {advice}"
    )


def _value(text: str) -> Any:
    """A value as TOML has it; text needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(table: dict[str, Any], keys: list[str], value: Any) -> None:
    *parents, last = keys
    for parent in parents:
        inner = table.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UsageError(
                f"--set: {'.'.join(keys)}: {parent} is a value and no table. "
                "Expected a key of a recipe. Leave out what follows it."
            )
        table = inner
    table[last] = value


def _build(kind: Any, table: Mapping[str, Any], *, where: str, prefix: str) -> Any:
    """A dataclass from a TOML table, every value checked against its field's type."""
    hints = get_type_hints(kind)
    unknown = [key for key in table if key not in hints]
    if unknown:
        near = get_close_matches(unknown[0], hints, n=1) or [
            key for key in _all_keys() if key.rpartition(".")[2] == unknown[0]
        ]
        advice = f"Did you mean {prefix if near[0] in hints else ''}{near[0]}?" if near else ""
        raise UsageError(
            f"{where}: {prefix}{unknown[0]} is no setting. Expected keys of a recipe. "
            f"{advice or 'Remove it.'}"
        )
    values = {}
    for key, raw in table.items():
        name = prefix + key
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(raw, dict):
                raise UsageError(f"{where}: {name}: {raw!r} is a value. Expected a table of keys.")
            values[key] = _build(hints[key], raw, where=where, prefix=f"{name}.")
        else:
            values[key] = _convert(hints[key], raw, where=f"{where}: {name}")
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _convert(hint: Any, raw: Any, *, where: str) -> Any:
    """A TOML value as a field's type has it."""
    if isinstance(hint, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is tuple:
        inner, *rest = get_args(hint)
        items = raw if isinstance(raw, list) else [raw]
        count = None if Ellipsis in rest else 1 + len(rest)
        if count is not None and len(items) != count:
            raise UsageError(f"{where}: {raw!r} is of the wrong length. Expected {count} values.")
        return tuple(_convert(inner, item, where=where) for item in items)
    expected = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
    }[hint]
    # In Python a bool is an int; in a recipe it is a mistake where a number belongs.
    is_right = isinstance(raw, (int, float) if hint is float else hint)
    if not is_right or (isinstance(raw, bool) and hint is not bool):
        raise UsageError(f"{where}: {raw!r} is of the wrong type. Expected {expected}.")
    return hint(raw)


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a recipe and of the tables in it."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _flat(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def _all_keys() -> list[str]:
    return [key for key, _ in _flat(Recipe(task="head"))]


def _to_toml(value: Any) -> str:
    """TOML's strings, numbers, booleans and lists are written as JSON writes them."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
