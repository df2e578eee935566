from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations.clusters import cluster_map, features_of, main, whole_crops
from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.config import ModelConfig
from tests.training.small_network import write_training_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_training_model(tmp_path_factory.mktemp("clusters") / "model")


def test_clusters_are_numbered_as_they_are_met():
    bands = np.array([2.0, 2.0, 0.0, 1.0, 2.0, 0.0])  # of one row; the next rows are the same
    noise = np.random.default_rng(0).normal(0, 0.01, (4, 5, 6))
    features = (np.stack([bands == value for value in (0, 1, 2, 3)])[:, None] + noise).astype("f4")
    found = cluster_map(features, 3, seed=0)
    assert found.tolist() == [[0, 0, 1, 2, 0, 1]] * 5


def test_features_of_both_networks(model):
    crop = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    diffusion, clip = features_of(load_model(read_model_folder(model)), crop)
    # The UNet's taps at strides 32, 16 and 8 of a crop of 64; a tower of 2 × 2 patches.
    assert diffusion.shape[1:] == (8, 8)
    assert clip.shape == (64, 2, 2)
    assert np.square(diffusion).sum(axis=0) == pytest.approx(3.0, rel=1e-4)
    assert np.square(clip).sum(axis=0) == pytest.approx(1.0, rel=1e-4)


def test_every_crop_is_seen_by_itself_and_put_where_it_was(model):
    network = load_model(read_model_folder(model))
    canvas = np.random.default_rng(3).integers(0, 256, (128, 192, 3), np.uint8)
    maps = features_of(network, canvas)
    assert [x.shape[1:] for x in maps] == [(16, 24), (4, 6)]
    alone = features_of(network, canvas[64:, 128:])
    for together, single in zip(maps, alone, strict=True):
        height, width = single.shape[1:]
        assert together[:, height:, 2 * width :] == pytest.approx(single, abs=1e-4)


def test_pictures_become_whole_crops_of_the_model_s_size():
    config = ModelConfig(supervision="label", short_side=256, long_side=640, crop_size=128)
    # 640x480 becomes 341.3x256: 2.67 crops, nearest to 3.
    assert whole_crops((480, 640), config) == (256, 384)
    # 1:4 becomes 640x160: 1.25 crops, nearest to 1.
    assert whole_crops((4000, 1000), config) == (640, 128)


def test_a_sheet_is_the_same_each_time(model, tmp_path):
    pixels = np.random.default_rng(2).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(255 - pixels.swapaxes(0, 1)).save(tmp_path / "b.png")
    images, options = [str(tmp_path / "a.png"), str(tmp_path / "b.png")], ["--clusters", "3"]
    sheets = []
    for name in ("one.png", "two.png"):
        out = ["--out", str(tmp_path / name), "--model", str(model), "--side", "32"]
        assert main([*images, *out, *options]) == 0
        sheets.append(np.asarray(Image.open(tmp_path / name)))
    assert np.array_equal(*sheets)
    # Three panels of 48x32; below them three of 21x32, and white.
    assert sheets[0].shape == (64, 144, 3)
    first = np.asarray(Image.open(tmp_path / "a.png").resize((48, 32), Image.Resampling.LANCZOS))
    assert np.array_equal(sheets[0][:32, :48], first)
    assert len(np.unique(sheets[0][:32, 48:96].reshape(-1, 3), axis=0)) <= 3
    assert (sheets[0][32:, 63:] == 255).all()
    assert (sheets[0][32:, 62] != 255).any()


def test_a_model_that_is_not_there(capsys, tmp_path):
    argv = ["x.png", "--out", str(tmp_path / "x.png"), "--model", str(tmp_path / "no")]
    assert main(argv) == 5
    assert "no" in capsys.readouterr().err
