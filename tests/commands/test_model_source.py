"""What `--model` and `--weights` come to, and what a run folder remembers of them."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from odise_cli.commands.model_source import find_model
from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.hub import BUNDLED_FOLDER
from odise_cli.model.odise import Odise
from odise_cli.vocabulary.loader import load_vocabulary
from tests.runs import read_json, segment, write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("imgs"), ["1.png", "2.png"])


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_tiny_model_is_trained_and_says_what_it_knows():
    source = find_model("tiny", weights=None)
    assert source.config.is_trained
    assert "knows only the synthetic world" in source.notice
    assert isinstance(source.load(offline=True, seed=42), Odise)


def test_a_model_folder_says_what_its_odise_json_says(small_model):
    source = find_model(str(small_model), weights=None)
    assert (source.config.short_side, source.config.supervision) == (64, "label")
    assert source.notice == "A small model for tests."


def test_weights_are_known_by_their_part_and_hash(small_model, tmp_path, monkeypatch):
    hashes = find_model(str(small_model), weights=None).weights_sha256()
    assert hashes == {
        "head": sha256(small_model / "head.safetensors"),
        "clip/open_clip_model.safetensors": sha256(
            small_model / "clip" / "open_clip_model.safetensors"
        ),
        **{
            f"diffusion/{name}": sha256(small_model / name)
            for name in (
                "empty_caption.safetensors",
                "unet/diffusion_pytorch_model.safetensors",
                "vae/diffusion_pytorch_model.safetensors",
            )
        },
    }
    # Neither the folder's name nor how its path is spelled changes what the model is.
    shutil.copytree(small_model, tmp_path / "copy")
    assert find_model(str(tmp_path / "copy"), weights=None).weights_sha256() == hashes
    for folder in (tmp_path, tmp_path / "copy"):
        monkeypatch.chdir(folder)
        name = "." if folder.name == "copy" else "copy"
        assert find_model(name, weights=None).weights_sha256() == hashes


def test_another_head_is_another_model(small_model, tmp_path):
    tensors = load_file(small_model / "head.safetensors")
    changed = {name: tensor + 1 for name, tensor in tensors.items()}
    save_file(changed, tmp_path / "head.safetensors")
    for model in (str(small_model), "tiny"):
        own = find_model(model, weights=None)
        other = find_model(model, weights=tmp_path / "head.safetensors")
        assert other.weights_sha256()["head"] == sha256(tmp_path / "head.safetensors")
        assert other.weights_sha256() != own.weights_sha256()
        assert other.text_encoder_id() == own.text_encoder_id()


def test_a_head_in_place_of_the_models_own_is_used(images, small_model, tmp_path):
    head = shutil.copy(small_model / "head.safetensors", tmp_path / "other.safetensors")
    other = tmp_path / "tiny.safetensors"
    own = load_file(BUNDLED_FOLDER / "head.safetensors")
    save_file({name: -tensor for name, tensor in own.items()}, other)
    # A picture in which the bundled head finds something.
    scene = Path(__file__).parents[2] / "samples" / "coast.jpg"
    found = {}
    for source, model, extra, out in (
        (images, small_model, [], "own"),
        (images, small_model, ["--weights", head], "same"),
        (scene, "tiny", [], "tiny"),
        (scene, "tiny", ["--weights", other], "tiny_other"),
    ):
        argv = [source, "--vocab", "sky", "--quiet", "--write", "segments", "--model", model]
        assert segment(*argv, *extra, "--out", tmp_path / out) == 0
        found[out] = (tmp_path / out / "segments.jsonl").read_text()
    assert found["own"] == found["same"]
    assert found["tiny"] != found["tiny_other"]
    assert found["tiny"]


def test_text_encoders_are_told_apart_by_content(small_model, tmp_path):
    copy = shutil.copytree(small_model, tmp_path / "copy")
    first = find_model(str(small_model), weights=None).text_encoder_id()
    assert find_model(str(copy), weights=None).text_encoder_id() == first
    path = copy / "clip" / "open_clip_model.safetensors"
    save_file({name: t + 1 for name, t in load_file(path).items()}, path)
    assert find_model(str(copy), weights=None).text_encoder_id() != first
    assert find_model("tiny", weights=None).text_encoder_id() != first


@pytest.mark.parametrize("name", ["label", "caption"])
def test_missing_published_weights_name_what_fetches_them(
    images, name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path / "cache"))
    argv = [images, "--vocab", "cat", "--out", tmp_path / "preds", "--model", name]
    for extra in ([], ["--offline"], ["--dry-run"]):
        assert segment(*argv, *extra) == 5
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: --model {name}: odise_{name}_coco_50e-")
        assert f'"odise models pull {name}"' in err
        assert "at least 5.20 GB" in err  # 4.27 GB + 0.93 GB; the head's size is not published
        assert "CC BY-NC-SA 4.0" in err
        assert '"--model tiny" needs no download.' in err
        assert f"Expected 3 files in {tmp_path / 'cache'}." in err
    assert not (tmp_path / "preds").exists()


def test_published_files_make_a_model_that_has_seen_the_training_words(tmp_path, monkeypatch):
    monkeypatch.setenv("ODISE_CACHE", str(tmp_path))
    head = tmp_path / "odise_label_coco_50e-b67d2efc.pth"
    head.write_bytes(b"a head")
    for name, size in (("sd-v1-3.ckpt", 4_265_380_512), ("ViT-L-14-336px.pt", 934_088_680)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)  # takes no space: a file of the right size is only said to be there
    source = find_model("label", weights=None)
    assert (source.files.head, source.config.alpha, source.config.beta) == (head, 0.3, 0.7)
    coco, _ = load_vocabulary(["coco133"])
    assert source.config.training_words == coco.words
    assert "CC BY-NC-SA" in source.notice
    (tmp_path / "mine.pth").write_bytes(b"another head")
    assert find_model("label", weights=tmp_path / "mine.pth").files.head == tmp_path / "mine.pth"


def test_a_name_that_is_no_model(images, tmp_path, capsys):
    argv = [images, "--vocab", "cat", "--out", tmp_path / "preds", "--model", "labels"]
    assert segment(*argv) == 5
    message = "error: --model: 'labels' is neither a model nor a folder. Expected label, caption, "
    assert capsys.readouterr().err.startswith(message)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(MissingDataError, match=r": no odise\.json in it\. Expected a model folder"):
        find_model(str(tmp_path), weights=None)


def test_weights_that_are_not_there(tmp_path):
    with pytest.raises(MissingDataError, match=r"^--weights: .*none\.pth does not exist\."):
        find_model("tiny", weights=tmp_path / "none.pth")


def test_a_folder_with_a_missing_part_is_refused_before_the_first_image(
    images, small_model, tmp_path, capsys
):
    model = shutil.copytree(small_model, tmp_path / "model")
    (model / "head.safetensors").unlink()
    argv = [images, "--vocab", "cat", "--out", tmp_path / "preds", "--model", model]
    assert segment(*argv) == 5
    assert f"{model / 'head.safetensors'}: no such file." in capsys.readouterr().err


def test_an_odise_json_of_another_format(small_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(small_model, model)
    content = read_json(model / "odise.json")
    (model / "odise.json").write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(CheckpointError, match=r"format is 99\. Expected 1\."):
        find_model(str(model), weights=None)
