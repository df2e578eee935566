"""The tiny model that comes with the package: its files, and that it has learned."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from odise_cli.cli.app import main
from odise_cli.commands.model_source import find_model
from odise_cli.hub import BUNDLED_FOLDER
from odise_cli.vocabulary.loader import load_vocabulary

MAX_BYTES = 30e6
LEAST_PQ = 20.0
"""Percent, on scenes that it has never seen; a head of random numbers has 0."""


def test_it_is_small_and_of_half_precision():
    weights = sorted(BUNDLED_FOLDER.rglob("*.safetensors"))
    assert [path.parent.name for path in weights] == ["clip", "tiny", "tiny", "unet", "vae"]
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.rglob("*.*")) <= MAX_BYTES
    for path in weights:
        assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}, path


def test_it_says_what_it_was_taught():
    config = find_model("tiny", weights=None).config
    assert set(config.training_words) == {
        category.name for category in load_vocabulary(["world36"])[0].categories
    }
    assert (config.short_side, config.crop_size, config.supervision) == (256, 128, "label")


def test_it_segments_scenes_that_it_has_never_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    world, out = tmp_path / "world", tmp_path / "out"
    assert main(["draw", "--out", str(world), "--scenes", "6", "--only-seen", "--quiet"]) == 0
    truth = ["--annotations", str(world / "panoptic.json"), "--masks", str(world / "panoptic")]
    argv = ["evaluate", "--dataset", "coco-panoptic", *truth, "--vocab", "world48"]
    argv += ["--images", str(world / "images"), "--model", "tiny", "--out", str(out), "--quiet"]
    assert main(argv) == 0
    capsys.readouterr()
    figures = json.loads((out / "report.json").read_text())["figures"]
    assert figures["PQ"] > LEAST_PQ
