"""`odise vocab`: what is printed and how it ends; what is in a vocabulary is tests/vocabulary's."""

import json

import pytest

from odise_cli.cli.app import main
from odise_cli.vocabulary import load_vocabulary


def test_list_counts_the_bundled_label_sets(capsys):
    assert main(["vocab", "list", "--json"]) == 0
    found = {row["name"]: row["num_categories"] for row in json.loads(capsys.readouterr().out)}
    assert found == {
        "ade150": 150,
        "ade847": 847,
        "cityscapes19": 19,
        "coco133": 133,
        "context459": 459,
        "context59": 59,
        "lvis1203": 1203,
        "mapillary65": 65,
        "voc21": 21,
        "world36": 36,
        "world48": 48,
    }
    assert main(["vocab", "list"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[:2] for row in rows] == [[name, str(n)] for name, n in found.items()]


def test_show_prints_lines_of_a_vocabulary_file(capsys):
    spec = "pickup truck, truck | id=7 color=#0a0b0c; sky | stuff id=3 color=#ff0000"
    assert main(["vocab", "show", spec]) == 0
    assert capsys.readouterr().out == (
        "pickup truck, truck | thing id=7 color=#0a0b0c\nsky | stuff id=3 color=#ff0000\n"
    )


def test_show_json_is_a_coco_list(capsys):
    assert main(["vocab", "show", "truck, lorry | id=7 color=#0a0b0c", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"id": 7, "name": "truck", "synonyms": ["lorry"], "isthing": 1, "color": [10, 11, 12]}
    ]


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("name", ["ade150", "coco133"])
def test_what_show_prints_is_the_same_vocabulary(name, flags, tmp_path, capsys):
    assert main(["vocab", "show", name, *flags]) == 0
    copy = tmp_path / "copy"
    copy.write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_vocabulary([str(copy)])[0] == load_vocabulary([name])[0]


def test_lint_without_warnings(capsys):
    assert main(["vocab", "lint", "cat; sky"]) == 0
    assert capsys.readouterr() == ("cat; sky: no warnings.\n", "")


def test_lint_prints_warnings_and_exits_0(tmp_path, capsys):
    path = tmp_path / "kitchen.txt"
    path.write_text("cup, mug\n\nglass, mug\n", encoding="utf-8")
    assert main(["vocab", "lint", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:2", f"{path}:3"]
    assert main(["vocab", "lint", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"warnings": lines}


def test_lint_of_what_cannot_be_used_exits_2(tmp_path, capsys):
    path = tmp_path / "kitchen.txt"
    path.write_text("sponge\ncup\nsponge\n", encoding="utf-8")
    assert main(["vocab", "lint", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f'error: {path}:3: "sponge" is listed twice (first in {path}:1).')


def test_lint_counts_the_tokens_of_long_words(capsys):
    # "x " takes one token each: 80 of them are more than the encoder's 77.
    assert main(["vocab", "lint", "cat; " + " ".join("x" * 80)]) == 2
    assert "The text encoder reads 77. Shorten it." in capsys.readouterr().err


def test_no_such_vocabulary_exits_5(capsys):
    assert main(["vocab", "show", "ade151.txt"]) == 5
    assert "ade151.txt" in capsys.readouterr().err
