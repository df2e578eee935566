"""Bad folders, vocabularies and weights: clear words, the right exit code, nothing lost."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from odise_cli.cli.app import main
from tests.runs import read_json, read_lines, segment, write_images
from tests.writers.fakes import files_of

# --- the output folder


@pytest.mark.parametrize("out", ["file", "file/preds"])
def test_an_output_folder_that_is_a_file(argv, images, tmp_path, out, capsys):
    (tmp_path / "file").write_text("mine")
    assert segment(images, *argv[:-1], tmp_path / out) == 2
    assert f"{tmp_path / out}" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_folder_that_may_not_be_written(argv, open_folder, as_nobody, capsys):
    images = write_images(open_folder / "imgs", ["1.png"])
    (open_folder / "closed").mkdir(mode=0o555)
    argv[3] = "tiny"
    assert segment(images, *argv[:-1], open_folder / "first") == 0  # imports what it needs
    as_nobody()
    assert segment(images, *argv[:-1], open_folder / "closed" / "preds") == 2
    assert "cannot be written: Permission denied." in capsys.readouterr().err


def test_files_of_others_are_never_replaced(argv, images, tmp_path, capsys):
    (tmp_path / "preds").mkdir()
    (tmp_path / "preds" / "panoptic.json").write_text("mine")
    for extra in ([], ["--dry-run"], ["--overwrite"]):
        assert segment(images, *argv, *extra) == 2
        assert "preds: holds panoptic.json, but no run.json" in capsys.readouterr().err
    assert (tmp_path / "preds" / "panoptic.json").read_text() == "mine"


def test_a_disk_that_is_full_at_any_moment(argv, images, tmp_path, small_files, capsys):
    assert segment(images, *argv[:-1], tmp_path / "expected") == 0
    expected = files_of(tmp_path / "expected")
    sizes = sorted({len(content) for content in expected.values()})[::-1][::4]
    codes = []
    for number, size in enumerate(sizes):
        out = tmp_path / f"preds{number}"
        small_files(size)
        codes.append(segment(images, *argv[:-1], out))
        small_files(None)
        err = capsys.readouterr().err
        assert codes[-1] == 0 or (
            "cannot be written now: File too large. Everything that was finished is safe." in err
        )
        assert segment(images, *argv[:-1], out) == 0
        assert files_of(out) == expected, size
    # All files fit into the largest size, and only into that.
    assert codes == [0] + [75] * (len(codes) - 1)
    assert len(codes) > 3


# --- vocabularies


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"", 2, "words.txt: holds no category. Expected at least one"),
        (b"# nothing but\n\n# comments\n", 2, "words.txt: holds no category."),
        (b"cat\ndog\n\ncat\n", 2, 'words.txt:4: "cat" is listed twice (first in '),
        (b"cat | id=3\ndog | id=3\n", 2, "words.txt:2: id 3 is taken (by "),
        (b"cat\n\x00\x01dog\n", 2, "words.txt:2: holds the byte 0x00, so this is no text file."),
        ("katt\nräv\n".encode("latin-1"), 2, "words.txt:2: the byte 0xe4 is not UTF-8."),
        ("katt\nräv\n".encode("utf-16"), 2, "words.txt: is UTF-16. Expected UTF-8."),
        (b'[{"id": 1, "name": "cat"},', 2, "words.txt:1: is no JSON, though it starts like it"),
        (b"x" * 500, 2, 'words.txt:1: "xxxx'),
    ],
)
def test_a_vocabulary_that_cannot_be_used(argv, images, tmp_path, content, code, message, capsys):
    (tmp_path / "words.txt").write_bytes(content)
    argv[1] = tmp_path / "words.txt"
    assert segment(images, *argv) == code
    err = capsys.readouterr().err
    assert err.startswith(f"error: {tmp_path}/{message}")
    assert not (tmp_path / "preds").exists()


def test_a_vocabulary_that_is_not_there(argv, images, capsys):
    argv[1] = "ade15O.txt"
    assert segment(images, *argv) == 5
    assert "ade15O.txt: there is no such vocabulary." in capsys.readouterr().err


def test_a_vocabulary_of_50000_lines(argv, images, tmp_path, capsys):
    # Beyond ASCII, so that every word needs the tokenizer to be found short enough.
    words = [f"façade n° {number} | id={3 * number}" for number in range(50_000)]
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    argv[1] = tmp_path / "words.txt"
    assert segment(images, *argv, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["num_categories"] == 50_000


@pytest.mark.slow
def test_a_vocabulary_of_50000_lines_to_the_end(argv, images, tmp_path):
    words = [f"thing number {number} | id={3 * number}" for number in range(50_000)]
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    argv[1] = tmp_path / "words.txt"
    assert segment(images, *argv) == 0
    lines = read_lines(tmp_path / "preds" / "segments.jsonl")
    for line in lines:
        assert line["category"] == f"thing number {line['category_id'] // 3}"
    for path in (tmp_path / "preds" / "semantic").glob("*.png"):
        assert np.asarray(Image.open(path)).max() < 50_000


# --- weights


class Touch:
    """What a pickle may do when it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_pickle_that_is_not_tensors_is_never_executed(argv, images, tmp_path, capsys):
    touched = tmp_path / "executed"
    torch.save({"head": Touch(touched)}, tmp_path / "zip.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"head": Touch(touched)}))
    for name in ("zip.pth", "bare.pth"):
        assert segment(images, *argv, "--weights", tmp_path / name) == 5
        assert f"error: {tmp_path / name}: " in capsys.readouterr().err
    assert not touched.exists()


def test_a_head_for_another_architecture(argv, images, small_model, tmp_path, capsys):
    tensors = load_file(small_model / "head.safetensors")
    names = sorted(tensors)
    changed = {name: tensor for name, tensor in tensors.items() if name != names[0]}
    changed[names[1]] = tensors[names[1]][..., :1].clone()
    changed["sem_seg_head.predictor.class_embed.weight"] = torch.zeros(2, 64)
    save_file(changed, tmp_path / "head.safetensors")
    assert segment(images, *argv, "--weights", tmp_path / "head.safetensors") == 5
    err = capsys.readouterr().err
    assert f"1 missing: {names[0]}" in err
    assert "1 unexpected: sem_seg_head.predictor.class_embed.weight" in err
    assert f"1 misshapen: {names[1]} (expected {list(tensors[names[1]].shape)}, got [" in err


@pytest.mark.parametrize("name", ["head.safetensors", "head.pth"])
def test_a_truncated_checkpoint(argv, images, small_model, tmp_path, name, capsys):
    tensors = load_file(small_model / "head.safetensors")
    path = tmp_path / name
    save_file(tensors, path) if path.suffix == ".safetensors" else torch.save(tensors, path)
    path.write_bytes(path.read_bytes()[:-100_000])
    assert segment(images, *argv, "--weights", path) == 5
    assert f"error: {path}: cannot be read as weights (" in capsys.readouterr().err


def test_weights_that_did_not_fit_leave_the_folder_to_those_that_do(argv, images, tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "wrong.pth")
    assert segment(images, *argv, "--weights", tmp_path / "wrong.pth") == 5
    assert segment(images, *argv) == 0
    # With results in it, it belongs to the weights that made them.
    assert segment(images, *argv, "--weights", tmp_path / "wrong.pth") == 2


# --- names that lead out of their folder


@pytest.mark.parametrize("stem", ["../../outside", "/outside", "a/../../../outside"])
def test_a_manifest_that_points_outside_of_its_folder(argv, images, tmp_path, stem, capsys):
    assert segment(images, *argv) == 0
    outside = tmp_path / "outside.png"
    outside.write_text("mine")
    for name in ("manifest.jsonl", ".odise/journal.jsonl"):
        path = tmp_path / "preds" / name
        path.write_text(path.read_text().replace('"stem": "2"', f'"stem": "{stem}"'))
    for extra in ([], ["--overwrite"], ["--dry-run"]):
        assert segment(images, *argv, *extra) == 2
        assert f"preds: the stem '{stem}' leads out of the folder." in capsys.readouterr().err
    merged = str(tmp_path / "merged")
    assert main(["merge", str(tmp_path / "preds"), "--out", merged]) == 2
    assert outside.read_text() == "mine"


def test_names_of_categories_are_no_paths(argv, images, tmp_path):
    content = [{"id": 1, "name": "../../outside", "synonyms": ["/etc"]}, {"id": 2, "name": ".."}]
    (tmp_path / "words.json").write_text(json.dumps(content))
    argv[1] = tmp_path / "words.json"
    before = {*tmp_path.parent.iterdir(), *tmp_path.iterdir(), tmp_path / "preds"}
    assert segment(images, *argv) == 0
    assert {*tmp_path.parent.iterdir(), *tmp_path.iterdir()} == before
    categories = read_json(tmp_path / "preds" / "panoptic.json")["categories"]
    assert [category["name"] for category in categories] == ["../../outside", ".."]


def test_a_model_folder_that_names_a_part_that_is_not_there(argv, images, small_model, tmp_path):
    model = shutil.copytree(small_model, tmp_path / "model")
    content = read_json(model / "odise.json") | {"diffusion": "../../elsewhere", "clip": "/x"}
    (model / "odise.json").write_text(json.dumps(content))
    argv[3] = model
    assert segment(images, *argv, "--offline") == 5
