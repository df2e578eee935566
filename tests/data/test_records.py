import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odise_cli.data.records import make_records
from odise_cli.structures import ImageRecord

ROOT = Path("/data/imgs")


def make(
    *names: str, known: Mapping[str, tuple[int, str]] | None = None
) -> tuple[ImageRecord, ...]:
    return make_records([ROOT / name for name in names], ROOT, known=known)


def ids(*names: str, known: Mapping[str, tuple[int, str]] | None = None) -> list[int]:
    return [record.image_id for record in make(*names, known=known)]


def stems(*names: str, known: Mapping[str, tuple[int, str]] | None = None) -> list[str]:
    return [record.stem for record in make(*names, known=known)]


def test_record() -> None:
    (record,) = make("a/b.c.jpg")
    assert record == ImageRecord(
        path=Path("/data/imgs/a/b.c.jpg"), name="a/b.c.jpg", stem="a/b.c", image_id=1
    )


def test_root_of_the_file_system() -> None:
    (record,) = make_records([Path("/x.jpg")], Path("/"))
    assert record.name == "x.jpg"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("000000000139.jpg", "000000000285.jpg"), [139, 285]),
        (("a/7.jpg", "b/3.png", "0.jpg"), [7, 3, 0]),
        (("a/7.jpg", "b/7.jpg"), [1, 2]),
        (("1.jpg", "01.jpg"), [1, 2]),  # the same integer
        (("5.jpg", "x6.jpg"), [1, 2]),
        (("-5.jpg", "6.jpg"), [1, 2]),
        (("\u0665.jpg", "6.jpg"), [1, 2]),  # a digit, but no ASCII one
        (("9" * 18 + ".jpg", "1.jpg"), [10**18 - 1, 1]),
        (("9" * 19 + ".jpg", "1.jpg"), [1, 2]),  # beyond 64 bits
        (("9" * 5000 + ".jpg", "7.jpg"), [1, 2]),  # beyond what int() reads
    ],
)
def test_image_ids(names: tuple[str, ...], expected: list[int]) -> None:
    assert ids(*names) == expected


def test_known_ids_that_agree_change_nothing() -> None:
    assert ids("4.jpg", "9.jpg", known={"4.jpg": (4, "4")}) == [4, 9]
    assert ids("a.jpg", "b.jpg", known={"a.jpg": (1, "a")}) == [1, 2]


def test_new_images_are_numbered_above_the_known_ones() -> None:
    known = {"b.jpg": (1, "b"), "d.jpg": (2, "d")}
    assert ids("a.jpg", "b.jpg", "c.jpg", "d.jpg", known=known) == [3, 1, 4, 2]


def test_id_of_an_image_that_is_gone_is_not_given_away() -> None:
    known = {"a.jpg": (1, "a"), "gone.jpg": (2, "gone")}
    assert ids("a.jpg", "b.jpg", known=known) == [1, 3]


def test_integer_stems_that_stop_being_integers() -> None:
    known = {"139.jpg": (139, "139"), "285.jpg": (285, "285")}
    assert ids("139.jpg", "285.jpg", "x.jpg", known=known) == [139, 285, 286]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a/x.jpg", "b/x.jpg"), ["a/x", "b/x"]),
        (("x.jpg", "x.png", "y.png"), ["x.jpg", "x.png", "y"]),
        (("x.JPG", "X.png"), ["x.JPG", "X.png"]),
        (("X.jpg", "x.jpg"), ["X.jpg", "x.jpg~2"]),
        (("A/x.jpg", "a/x.jpg"), ["A/x.jpg", "a/x.jpg~2"]),
        (("caf\u00e9.jpg", "cafe\u0301.jpg"), ["caf\u00e9.jpg", "cafe\u0301.jpg~2"]),
        (("x.jpg", "x.jpg.png", "x.png"), ["x.jpg~2", "x.jpg", "x.png"]),
        (("x", "x.jpg"), ["x", "x.jpg"]),
        (("frame_0.5", "frame_0.7"), ["frame_0.5", "frame_0.7"]),
        ((".jpg", "...jpg"), [".jpg", "...jpg"]),
        # a.png/b.png needs a folder where a's file a.png would be.
        (("a.jpg", "a.png/b.jpg"), ["a.jpg", "a.png/b"]),
        (("a.jpg", "A.JPG/c/b.jpg"), ["a.jpg", "A.JPG/c/b"]),
        (("a.jpg", "a.jpg.png/b.jpg", "a.png/b.jpg"), ["a.jpg~2", "a.jpg.png/b", "a.png/b"]),
    ],
)
def test_stems(names: tuple[str, ...], expected: list[str]) -> None:
    assert stems(*names) == expected


def test_known_stems_stay() -> None:
    assert stems("x.jpg", "x.png", known={"x.jpg": (1, "x")}) == ["x", "x.png"]


def test_known_stem_of_an_image_that_is_gone_is_not_given_away() -> None:
    assert stems("x.png", known={"x.jpg": (1, "x")}) == ["x.png"]


def test_a_second_run_changes_nothing() -> None:
    names = ("X.jpg", "a.jpg", "a.png/b.jpg", "x.jpg", "x.jpg.png", "z\n.jpg", "z%0A.jpg")
    first = make(*names)
    known = {record.name: (record.image_id, record.stem) for record in first}
    assert make(*names, known=known) == first


def test_long_names_fit_a_file_system() -> None:
    # 255 bytes, the longest there is, and of several bytes a character.
    names = ("x" * 252 + ".im", "x" * 252 + ".gif", "\u732b" * 83 + ".webp", "\u732b" * 83 + ".gif")
    long_stems = stems(*names)
    assert len(set(long_stems)) == 4
    assert all(len(f"{stem}.png".encode()) <= 210 for stem in long_stems)
    assert long_stems[0].startswith("x" * 180)
    # Escaping makes a name of 200 bytes three times as long; folders have to fit too.
    (stem,) = stems(os.fsdecode(b"\xff" * 200 + b"/" + b"\xfe" * 200 + b".jpg"))
    assert all(len(part) <= 200 for part in stem.split("/"))


def test_bytes_that_are_not_utf_8() -> None:
    raw = os.fsdecode(b"caf\xe9.jpg")
    record, literal = make(raw, "caf%E9.jpg")
    assert record.path == ROOT / raw
    assert [record.name, literal.name] == ["caf%E9.jpg~2", "caf%E9.jpg"]
    assert [record.stem, literal.stem] == ["caf%E9.jpg~2", "caf%E9.jpg"]


PARTS = st.sampled_from(
    ["a", "A", "a.png", "a.jpg", "a.jpg~2", "1", "01", "b\n", "b%0A", "\udcff", "..x", "\\", " ",
     "\u00e9", "e\u0301", "n" * 250, "n" * 251, "-", "x.jpg.png", "x.jpg", "x.png", "x"]
)  # fmt: skip


@given(
    names=st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), unique=True),
    num_known=st.integers(0, 5),
)
def test_whatever_the_names(names: list[str], num_known: int) -> None:
    known = {r.name: (r.image_id, r.stem) for r in make(*names[:num_known])}
    records = make(*names, known=known)
    assert [record.path for record in records] == [ROOT / name for name in names]
    assert len({record.name for record in records}) == len(names)
    assert len({record.stem.casefold() for record in records}) == len(names)
    assert len({record.image_id for record in records}) == len(names)
    for record in records:
        json.dumps([record.name, record.stem], ensure_ascii=False).encode("utf-8")
        assert ".." not in record.stem.split("/")
        assert not record.stem.startswith("/")
        if record.name in known:
            assert (record.image_id, record.stem) == known[record.name]


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map("/".join), unique=True))
def test_no_output_file_is_in_the_place_of_a_folder(names: list[str]) -> None:
    files = {f"{record.stem}.png".casefold() for record in make(*names)}
    folders = {str(parent) for file in files for parent in Path(file).parents}
    assert not files & folders


def test_a_data_set_s_own_ids_win() -> None:
    paths = [ROOT / "7.jpg", ROOT / "8.jpg"]
    records = make_records(paths, ROOT, image_ids=[501, 502])
    assert [record.image_id for record in records] == [501, 502]
    known = {"7.jpg": (501, "7")}
    records = make_records(paths, ROOT, known=known, image_ids=[501, 502])
    assert [record.image_id for record in records] == [501, 502]
