import os
import re
import subprocess
from pathlib import Path

import pytest

from odise_cli.errors import MissingDataError, UsageError
from odise_cli.vocabulary.specs import bundled_names, read_word_list


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(spec: str) -> list[str]:
    return [entry.name for entry in read_word_list(spec).entries]


def test_an_existing_file_goes_before_a_bundled_name():
    Path("ade150").write_text("cat\n")
    word_list = read_word_list("ade150")
    assert (word_list.label, word_list.is_bundled) == ("ade150", False)
    assert names("ade150") == ["cat"]
    assert len(names("ade150.txt")) == 150


def test_a_bundled_name_needs_no_suffix_and_goes_before_a_folder():
    Path("voc21").mkdir()
    for spec in ("voc21", "voc21.txt"):
        word_list = read_word_list(spec)
        assert (word_list.label, word_list.is_bundled) == ("voc21.txt", True)
        assert len(word_list.entries) == 21


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("cat", ["cat"]),
        ("traffic light", ["traffic light"]),
        ("cat; dog, puppy", ["cat", "dog"]),
        ("cat, kitty", ["cat"]),
        ("sky | stuff", ["sky"]),
        ("coco;", ["coco"]),
        ("tv/monitor;", ["tv/monitor"]),
        ("coconut", ["coconut"]),
        (";".join(f"word {n}" for n in range(3000)), [f"word {n}" for n in range(3000)]),
    ],
)
def test_everything_else_is_a_list(spec: str, expected: list[str]):
    assert names(spec) == expected


def test_every_single_bundled_word_may_be_typed_as_a_list():
    for name in bundled_names():
        for entry in read_word_list(name).entries:
            for word in entry.words:
                assert names(f"{word};" if "/" in word else word) == [word]


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("ade15", "Did you mean ade150 or ade847? Write 'ade15;' if it is a word."),
        ("ADE150", "Did you mean ade150 or ade847? Write 'ADE150;' if it is a word."),
        ("ade20k", "Did you mean ade150 or ade847? Write 'ade20k;' if it is a word."),
        ("coco", "Did you mean coco133? Write 'coco;' if it is a word."),
        ("context", "Did you mean context459 or context59? Write 'context;' if it is a word."),
        ("ctyscapes19", "Did you mean cityscapes19? Write 'ctyscapes19;' if it is a word."),
        ("ade15.txt", "Did you mean ade150 or ade847?"),
        ("sets/lvis.json", "Did you mean lvis1203?"),
        ("missing.txt", "See `odise vocab list`."),
        ("a, b.txt", "See `odise vocab list`."),
        ("missing/words", "See `odise vocab list`. Write 'missing/words;' if it is a word."),
    ],
)
def test_a_missing_file_or_set_is_no_list(spec: str, hint: str):
    with pytest.raises(MissingDataError) as caught:
        read_word_list(spec)
    assert str(caught.value) == (
        f"{spec}: there is no such vocabulary. Expected a file, a bundled name or a list such as "
        f"'cat; dog'. {hint}"
    )


def test_a_folder_is_no_vocabulary():
    Path("cat").mkdir()
    message = r"cat: is a folder\. Expected .* Name a file in it, or write 'cat;' if it is a word\."
    with pytest.raises(UsageError, match=message):
        read_word_list("cat")
    assert names("cat;") == ["cat"]


@pytest.mark.parametrize(
    "content", ["", "\n\n", "# nothing\n  # at all\n", "[]", "0:invalid_class_id"]
)
def test_a_file_without_categories(content: str):
    Path("empty.txt").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_word_list("empty.txt")
    assert str(caught.value) == (
        "empty.txt: holds no category. Expected at least one, such as: name, synonym, synonym. "
        "Add one, or use a bundled vocabulary such as ade150."
    )


@pytest.mark.parametrize("spec", ["", " ", ";", " ; "])
def test_a_list_without_categories(spec: str):
    with pytest.raises(UsageError, match=r"--vocab: holds no category\. Expected at least one"):
        read_word_list(spec)


def test_a_duplicate_names_the_file_and_both_lines():
    Path("kitchen.txt").write_text("# x\n\ncup\nsponge\ncup, mug\n")
    message = re.escape('kitchen.txt:5: "cup" is listed twice (first in kitchen.txt:3).')
    with pytest.raises(UsageError, match=message):
        read_word_list("kitchen.txt")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_newline_are_fine(newline: str):
    Path("f.txt").write_bytes(b"\xef\xbb\xbf" + newline.join(["café", "été", ""]).encode())
    word_list = read_word_list("f.txt")
    assert [(entry.name, entry.source) for entry in word_list.entries] == [
        ("café", "f.txt:1"),
        ("été", "f.txt:2"),
    ]
    assert word_list.warnings == ()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused(encoding: str):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    Path("f.txt").write_bytes(mark + "café\n".encode(encoding))
    with pytest.raises(UsageError) as caught:
        read_word_list("f.txt")
    assert str(caught.value) == (
        "f.txt: is UTF-16. Expected UTF-8. Convert it: iconv -f UTF-16 -t UTF-8."
    )


def test_latin_1_is_refused_with_line_and_byte():
    Path("f.txt").write_bytes("cat\r\ndog\rcafé\n".encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        read_word_list("f.txt")
    assert str(caught.value) == (
        "f.txt:3: the byte 0xe9 is not UTF-8. Expected UTF-8. Convert the file, if it is Latin-1 "
        "with: iconv -f LATIN1 -t UTF-8."
    )


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", r"f\.txt:2: holds the byte 0x1a"),
        (b"cat\ndog\nco\x00w\n", r"f\.txt:3: holds the byte 0x00"),
        (b"\x80\x04\x95", r"f\.txt:1: holds the byte 0x04"),
        (b"cat \x1b[31m\n", r"f\.txt:1: holds the byte 0x1b"),
    ],
)
def test_a_binary_file_is_refused(data: bytes, where: str):
    Path("f.txt").write_bytes(data)
    expected = rf"^{where}, so this is no text file\. Expected UTF-8 text or JSON\. Give another"
    with pytest.raises(UsageError, match=expected):
        read_word_list("f.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read():
    Path("f.txt").write_text("cat")
    Path("f.txt").chmod(0)
    with pytest.raises(MissingDataError, match=r"f\.txt: cannot be read: Permission denied\. Exp"):
        read_word_list("f.txt")


def test_a_pipe_is_a_file(here: Path):
    os.mkfifo("pipe")
    writer = subprocess.Popen(["sh", "-c", "printf 'cat\\ndog\\n' > pipe"], cwd=here)
    assert names("pipe") == ["cat", "dog"]
    assert writer.wait(timeout=10) == 0


def test_the_bundled_names():
    assert bundled_names() == (
        "ade150", "ade847", "cityscapes19", "coco133", "context459", "context59", "lvis1203",
        "mapillary65", "voc21", "world36", "world48",
    )  # fmt: skip
