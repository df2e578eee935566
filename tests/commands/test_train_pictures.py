"""The chain of runs that makes the tiny model's frozen parts, each with a step or two."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from odise_cli.cli.app import main
from odise_cli.hub import BUNDLED_FOLDER
from odise_cli.model.checkpoint import load_model, read_model_folder

CLIP = "clip/open_clip_model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
CAPTION = "empty_caption.safetensors"
FEW = ["--set", "data.num_scenes=12", "--set", "batch_size=4", "--set", "log_every=1", "--quiet"]


def train(recipe: str, out: Path, *settings: str) -> int:
    extra = [part for setting in settings for part in ("--set", setting)]
    return main(["train", "--recipe", recipe, "--out", str(out), *FEW, *extra])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders 1 to 5 of the chain."""
    folder = tmp_path_factory.mktemp("runs")
    names = ("1_clip", "2_autoencoder", "3_diffusion", "4_clip", "5_clip")
    for number, name in enumerate(names, start=1):
        settings = [] if number == 1 else [f"model={folder / str(number - 1)}"]
        assert train(f"tiny_world_{name}", folder / str(number), "steps=1", *settings) == 0
    return folder


def changed(runs: Path, number: int) -> set[str]:
    """Which parts a run did not leave as they were."""
    names = (CLIP, VAE, UNET, CAPTION)
    before, after = (
        {name: load_file(runs / str(n) / name) for name in names} for n in (number - 1, number)
    )
    return {
        name
        for name in names
        if any(not torch.equal(x, after[name][key]) for key, x in before[name].items())
    }


def test_each_run_changes_its_own_part(runs: Path):
    assert changed(runs, 2) == {VAE}
    assert changed(runs, 3) == {UNET, CAPTION}
    assert changed(runs, 4) == {CLIP}


def test_the_latents_of_the_trained_autoencoder_vary_by_one(runs: Path):
    model = load_model(read_model_folder(runs / "5"), has_head=False)
    factor = model.diffusion.vae.config.scaling_factor
    assert factor != pytest.approx(0.18215, rel=1e-3)
    assert factor > 0


def test_the_empty_caption_is_that_of_the_text_tower_of_the_diffusion_run(runs: Path):
    model = load_model(read_model_folder(runs / "3"), has_head=False)
    with torch.no_grad():
        states = model.clip.encode_states([""])
    np.testing.assert_allclose(model.captioner.empty_caption.numpy(), states.numpy(), atol=1e-6)


def test_the_last_clip_has_more_positions(runs: Path):
    sizes = [
        load_model(read_model_folder(runs / number), has_head=False).clip.image_size
        for number in ("4", "5")
    ]
    assert sizes == [64, 128]


def test_a_head_is_trained_on_top_and_segments(runs: Path, tmp_path: Path):
    out = tmp_path / "head"
    settings = (f"model={runs / '5'}", "steps=1", "batch_size=2", "num_points=16")
    assert train("tiny_world_6_label", out, *settings) == 0
    image = tmp_path / "world"
    assert main(["draw", "--out", str(image), "--scenes", "1", "--quiet"]) == 0
    argv = ["segment", str(image / "images"), "--vocab", "world48", "--model", str(out)]
    assert main([*argv, "--out", str(tmp_path / "preds"), "--quiet"]) == 0


def test_a_frozen_text_tower_keeps_words_and_head(tmp_path: Path):
    assert train("tiny_world_8_clip", tmp_path / "out", "model=tiny", "steps=1") == 0
    before = load_model(read_model_folder(BUNDLED_FOLDER)).state_dict()
    after = load_model(read_model_folder(tmp_path / "out")).state_dict()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    assert "clip.model.visual.conv1.weight" in changed
    assert {name for name in changed if not name.startswith("clip.model.visual.")} <= {
        "clip.model.logit_scale"
    }


def test_a_head_stays_though_its_words_move(tmp_path: Path):
    settings = ("model=tiny", "steps=1", "batch_size=2", "data.num_regions=3")
    assert train("tiny_world_16_clip", tmp_path / "out", *settings) == 0
    before = load_model(read_model_folder(BUNDLED_FOLDER)).state_dict()
    after = load_model(read_model_folder(tmp_path / "out")).state_dict()
    changed = {name for name in before if not torch.equal(before[name].float(), after[name])}
    assert "clip.model.token_embedding.weight" in changed
    assert all(name.startswith("clip.model.") for name in changed)


def test_stopped_and_resumed_is_as_never_stopped(runs: Path, tmp_path: Path):
    settings = [f"model={runs / '4'}", "steps=2", "checkpoint_every=1"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train("tiny_world_5_clip", whole, *settings) == 0
    assert train("tiny_world_5_clip", halves, *settings) == 0
    # As if it had been killed after the first step.
    newest = halves / "checkpoints" / "step-00000002"
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    (halves / CLIP).unlink()
    extra = [part for setting in settings for part in ("--set", setting)]
    argv = ["train", "--recipe", "tiny_world_5_clip", "--out", str(halves), "--resume"]
    assert main([*argv, *FEW, *extra]) == 0
    assert (halves / CLIP).read_bytes() == (whole / CLIP).read_bytes()


def test_parts_are_no_larger_than_scenes(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    settings = (f"model={runs / '4'}", "data.part_sides=[4,17]")
    assert train("tiny_world_5_clip", tmp_path / "out", *settings) == 2
    message = "data.part_sides: 17 patches are more than a scene has. Expected at most 16."
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("tiny_world_3_diffusion", ["model=new"], "model: 'new' has no latents and no captions"),
        ("tiny_world_1_clip", ["data.dataset=coco"], "data.dataset: 'coco' has no task 'clip'"),
        ("tiny_world_1_clip", ["validation.every=5"], "validation.every: 5 means nothing to task"),
        ("tiny_world_8_clip", ["model=new"], "freeze_text: the text tower of 'new' has learned no"),
        ("tiny_world_5_clip", ["model=nowhere"], "--model: 'nowhere' is neither a model nor a"),
        ("tiny_world_5_clip", ["data.part_sides=[0]"], "data.part_sides: 0 is too small"),
        ("tiny_world_1_clip", ["data.num_regions=4"], "data.num_regions: 4 regions have no sides"),
        ("tiny_world_5_clip", ["data.single_words=2"], "data.single_words: 2.0 is out of range"),
    ],
)
def test_what_cannot_be_trained(
    recipe: str,
    settings: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    assert train(recipe, tmp_path / "out", *settings) in (2, 5)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
