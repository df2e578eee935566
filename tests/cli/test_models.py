"""`odise models`: what is printed and how it ends; where files come from is tests/hub's."""

import json

import pytest

from odise_cli.cli.app import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path))
    return tmp_path


def test_list_says_what_is_here(cache, capsys):
    (cache / "odise_label_coco_50e-b67d2efc.pth").write_bytes(b"something")
    assert main(["models", "list"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    rows = [line.split() for line in out.splitlines()]
    assert [row[:2] for row in rows if not row[-1].startswith("/")] == [
        ["label", "incomplete"],
        ["caption", "incomplete"],
        ["tiny", "bundled"],
    ]
    assert ["present", str(cache / "odise_label_coco_50e-b67d2efc.pth")] in rows
    assert ["missing", str(cache / "odise_caption_coco_50e-853cc971.pth")] in rows


def test_list_as_json(cache, capsys):
    assert main(["models", "list", "--json"]) == 0
    label, caption, tiny = json.loads(capsys.readouterr().out)
    assert (label["name"], label["state"]) == ("label", "incomplete")
    assert (caption["name"], tiny["name"], tiny["files"]) == ("caption", "tiny", [])
    assert label["files"][0]["path"] == str(cache / "odise_label_coco_50e-b67d2efc.pth")


def test_verify_of_what_is_not_here_exits_5(capsys):
    assert main(["models", "verify", "label"]) == 5
    assert "missing" in capsys.readouterr().out


def test_verify_of_another_file_exits_5(cache, capsys):
    (cache / "odise_label_coco_50e-b67d2efc.pth").write_bytes(b"something")
    assert main(["models", "verify", "label", "--json"]) == 5
    [head, *_] = json.loads(capsys.readouterr().out)["files"]
    assert head["state"] == "wrong sha256"


def test_the_bundled_model_is_always_whole(capsys):
    assert main(["models", "verify", "tiny"]) == 0
    assert main(["models", "pull", "tiny"]) == 0
    assert capsys.readouterr().err == ""


def test_pull_offline_exits_5_and_says_what_is_lacking(capsys):
    assert main(["models", "pull", "caption", "--offline"]) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: --offline: odise_caption_coco_50e-853cc971.pth, ")


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_exits_2(command, capsys):
    assert main(["models", command, "labl"]) == 2
    assert "'labl' is no published model. Expected label or caption." in capsys.readouterr().err
