"""Text → entries: our own lines, OpenSeg's lines and COCO's JSON, told apart by content.

Knows no file: the caller brings the text, and its name for the messages.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from odise_cli.errors import UsageError
from odise_cli.vocabulary.entries import MAX_ID, Entry, Problems, and_more, make_entry

_OPENSEG_LINE = re.compile(r"(-?[0-9]+|invalid_class_id)\s*:(.*)")
_OPENSEG_UNUSED = "invalid_class_id"
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_ID = re.compile(r"[0-9]{1,19}")
_JSON_EXAMPLE = '[{"id": 1, "name": "cat", "isthing": 1, "color": [63, 160, 255]}]'


def parse_file(text: str, name: str, problems: Problems) -> list[Entry]:
    """Read the text of a vocabulary file in whichever of the three formats it is.

    Args:
        text: the whole file.
        name: what messages call the file.
        problems: receives what is wrong, by line.

    Raises:
        UsageError: JSON that cannot be read as a list of categories at all.
    """
    if text.lstrip().startswith(("[", "{")):
        return _parse_coco(text, name, problems)
    lines = text.removesuffix("\n").split("\n")
    content = _content_lines(lines, lambda number: f"{name}:{number}", problems)
    if content and _OPENSEG_LINE.match(content[0][1]):
        return _parse_openseg(content, problems)
    return _present(_parse_line(line, source, problems) for source, line in content)


def parse_inline(text: str, problems: Problems) -> list[Entry]:
    """Read a list from the command line: our own format with `;` between categories."""
    lines = text.rstrip().removesuffix(";").split(";")
    content = _content_lines(lines, lambda number: f"--vocab, category {number}", problems)
    return _present(_parse_line(line, source, problems) for source, line in content)


def _present(entries: Iterable[Entry | None]) -> list[Entry]:
    return [entry for entry in entries if entry is not None]


def _content_lines(
    lines: list[str], source_of: Callable[[int], str], problems: Problems
) -> list[tuple[str, str]]:
    """(source, line) of the lines that say something; empty ones get one warning together."""
    content, empty = [], []
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if not stripped:
            empty.append(number)
        elif not stripped.startswith("#"):
            content.append((source_of(number), stripped))
    if empty and content:
        problems.warnings.append(
            f"{source_of(empty[0])}: is empty{and_more(empty)}. Expected one category each; "
            "empty ones are skipped. Remove them, or start the line with #."
        )
    return content


def _parse_line(line: str, source: str, problems: Problems) -> Entry | None:
    """`name, synonym, synonym | stuff id=12 color=#3fa0ff`."""
    words, _, attributes = line.partition("|")
    values: dict[str, str] = {}
    for attribute in attributes.split():
        key, equals, value = attribute.partition("=")
        if attribute in ("stuff", "thing"):
            key, value = "kind", attribute
        elif not equals or key not in ("id", "color"):
            problems.errors.append(
                f'{source}: "{attribute}" after | is unknown. Expected stuff, thing, id=12 or '
                "color=#3fa0ff. Correct or remove it."
            )
            continue
        if key in values:
            problems.errors.append(
                f'{source}: "{attribute}" comes after another of its kind. Expected one of stuff '
                "and thing, one id and one color. Remove one of them."
            )
        values[key] = value
    return make_entry(
        words.split(","),
        source=source,
        problems=problems,
        category_id=_parse_id(values["id"], source, problems) if "id" in values else None,
        isthing=values.get("kind") != "stuff",
        color=_parse_color(values["color"], source, problems) if "color" in values else None,
    )


def _parse_id(text: str, source: str, problems: Problems) -> int | None:
    if _ID.fullmatch(text) and int(text) <= MAX_ID:
        return int(text)
    problems.errors.append(_bad_id(text, source))
    return None


def _bad_id(shown: str, source: str) -> str:
    return (
        f"{source}: id {shown} is no category id. Expected a whole number from 0 to {MAX_ID}. "
        "Correct or remove it."
    )


def _parse_color(text: str, source: str, problems: Problems) -> tuple[int, int, int] | None:
    if _COLOR.fullmatch(text):
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    problems.errors.append(
        f"{source}: color {text} is no colour. Expected # and six hexadecimal digits. "
        "Write for example color=#3fa0ff."
    )
    return None


def _parse_openseg(content: list[tuple[str, str]], problems: Problems) -> list[Entry]:
    """`id:name,synonym,synonym`, with `invalid_class_id` where an id is not in use.

    Source: the label files published with OpenSeg (arXiv 2112.12143).
    """
    return _present(
        entry for source, line in content for entry in _openseg_entry(line, source, problems)
    )


def _openseg_entry(line: str, source: str, problems: Problems) -> Iterator[Entry | None]:
    match = _OPENSEG_LINE.match(line)
    if match is None:
        problems.errors.append(
            f"{source}: has no id. Expected id:name,synonym as in the lines before. "
            "Write the id and a colon before the name."
        )
        return
    category_id, words = match[1], match[2]
    if _OPENSEG_UNUSED not in (category_id, words.strip()):
        yield make_entry(
            words.split(","),
            source=source,
            problems=problems,
            category_id=_parse_id(category_id, source, problems),
        )


def _parse_coco(text: str, name: str, problems: Problems) -> list[Entry]:
    """A list of categories, or an object that has one under "categories".

    Source: COCO data format, "categories" of panoptic and object detection annotations;
    LVIS adds "synonyms".
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{name}:{error.lineno}: is no JSON, though it starts like it: {error.msg}. "
            f"Expected {_JSON_EXAMPLE}. Correct the line."
        ) from error
    except (ValueError, RecursionError) as error:  # a number or a nesting beyond reason
        raise UsageError(
            f"{name}: is JSON that cannot be read: {error}. Expected {_JSON_EXAMPLE}. "
            "Write the categories anew."
        ) from error
    categories = document.get("categories") if isinstance(document, dict) else document
    if not isinstance(categories, list):
        raise UsageError(
            f"{name}: is JSON without a list of categories. Expected {_JSON_EXAMPLE}, or an "
            'object with such a list under "categories". Give another file.'
        )
    return _present(
        _coco_entry(category, f"{name}, categories[{index}]", problems)
        for index, category in enumerate(categories)
    )


def _coco_entry(category: Any, source: str, problems: Problems) -> Entry | None:
    """Names keep their commas: in COCO's format a synonym has a field of its own."""
    known = category if isinstance(category, dict) else {}
    synonyms = known.get("synonyms", [])
    words = [known.get("name"), *(synonyms if isinstance(synonyms, list) else [synonyms])]
    if not all(isinstance(word, str) for word in words):
        problems.errors.append(
            f"{source}: has no name, or a synonym that is no text. Expected for example "
            '{"id": 1, "name": "cat"}. Correct the category.'
        )
        return None
    category_id, isthing, color = known.get("id"), known.get("isthing", 1), known.get("color")
    if category_id is not None and not _is_whole(category_id, MAX_ID):
        problems.errors.append(_bad_id(json.dumps(category_id), source))
        category_id = None
    if not _is_whole(isthing, 1) and not isinstance(isthing, bool):
        problems.errors.append(
            f"{source}: isthing is {json.dumps(isthing)}. Expected 0 or 1. Correct it."
        )
    if color is not None and not _is_color(color):
        problems.errors.append(
            f"{source}: color is {json.dumps(color)}. Expected [red, green, blue], each 0 to 255. "
            "Correct or remove it."
        )
        color = None
    return make_entry(
        words,
        source=source,
        problems=problems,
        category_id=category_id,
        isthing=bool(isthing),
        color=None if color is None else (color[0], color[1], color[2]),
    )


def _is_whole(value: Any, largest: int) -> bool:
    """Whether a JSON value is a whole number from 0; true and false are none."""
    return type(value) is int and 0 <= value <= largest


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(_is_whole(v, 255) for v in value)
