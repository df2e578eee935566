import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.names import natural_key, printable


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a/b c.jpg", "a/b c.jpg"),
        ("caf\u00e9 \u732b \U0001f408.jpg".encode(), "caf\u00e9 \u732b \U0001f408.jpg"),
        (b"back\\slash.jpg", "back\\slash.jpg"),
        (b"two\nlines\t.jpg", "two%0Alines%09.jpg"),
        (b"latin-\xe9.jpg", "latin-%E9.jpg"),
        ("next\u0085line\u2028.jpg".encode(), "next%C2%85line%E2%80%A8.jpg"),
    ],
)
def test_printable(raw: bytes, expected: str) -> None:
    assert printable(os.fsdecode(raw)) == expected


@given(st.binary(max_size=40))
def test_any_file_name_becomes_one_line_of_strict_utf_8(raw: bytes) -> None:
    text = printable(os.fsdecode(raw))
    assert json.loads(json.dumps(text, ensure_ascii=False).encode("utf-8")) == text
    assert len(text.splitlines()) <= 1
    assert printable(text) == text


def test_numbers_sort_by_value_and_folders_stay_together():
    names = ["b/2.jpg", "b/10.jpg", "b-c/1.jpg", "a10/1.jpg", "a9/01.jpg", "a9/1.jpg"]
    assert sorted(names, key=natural_key) == [
        "a9/01.jpg",
        "a9/1.jpg",
        "a10/1.jpg",
        "b/2.jpg",
        "b/10.jpg",
        "b-c/1.jpg",
    ]
