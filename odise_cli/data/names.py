"""File names as text that every file format, terminal and JSON parser accepts, and in order.

Knows no file system: text in, text out.
"""

import re

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators, and bytes that are not UTF-8 (as `os.fsdecode` has them)."""

_DIGITS = re.compile("[0-9]+")


def natural_key(name: str) -> tuple[str, str]:
    """Sorts paths with `/`: runs of digits by their value, a folder's contents together."""

    def by_value(match: re.Match[str]) -> str:
        digits = match[0].lstrip("0")
        return f"0{len(digits):06d}{digits}"

    return _DIGITS.sub(by_value, name.replace("/", "\0")), name


def printable(text: str) -> str:
    r"""A file name on one line of valid Unicode: `a\nb` becomes `a%0Ab`, byte FF becomes `%FF`.

    Ordinary names come back unchanged. Two names may become one; `make_records` tells them apart.
    """
    return _UNPRINTABLE.sub(_percent_encoded, text)


def _percent_encoded(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))
