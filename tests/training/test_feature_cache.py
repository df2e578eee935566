import pytest
import torch

from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.training.feature_cache import cache_features, cache_masks
from tests.training.small_network import write_training_model


@pytest.fixture
def model(tmp_path_factory):
    return load_model(read_model_folder(write_training_model(tmp_path_factory.mktemp("m"))))


@pytest.fixture
def diffusion(model):
    return model.diffusion


def test_a_crop_is_computed_once(diffusion, tmp_path):
    crops = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    text, time = torch.zeros(3, 77, 32), torch.zeros(3, 128)
    computed = []
    diffusion.unet.conv_in.register_forward_hook(lambda _m, args, _o: computed.append(len(args[0])))
    with torch.no_grad():
        expected = diffusion(crops, text, time)
    computed.clear()
    cache_features(diffusion, tmp_path / "features")
    first = diffusion(crops[:2], text[:2], time[:2])
    assert computed == [2]
    again = diffusion(crops[[2, 0, 1]], text, time)
    assert computed == [2, 1]
    assert len(list((tmp_path / "features").iterdir())) == 3
    for tap, one, other in zip(expected, first, again, strict=True):
        assert torch.equal(one, other[1:])
        assert torch.allclose(other, tap[[2, 0, 1]], atol=1e-3)


def test_other_pixels_are_another_crop(diffusion, tmp_path):
    cache_features(diffusion, tmp_path)
    crop = torch.full((1, 3, 64, 64), 0.5)
    diffusion(crop, torch.zeros(1, 77, 32), torch.zeros(1, 128))
    crop[0, 0, 0, 0] += 1e-6
    diffusion(crop, torch.zeros(1, 77, 32), torch.zeros(1, 128))
    assert len(list(tmp_path.iterdir())) == 2


def test_masks_of_a_canvas_are_made_once(model, tmp_path):
    canvases = torch.rand(3, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    made = []
    model.mask_generator.register_forward_hook(lambda _m, args, _o: made.append(len(args[0][0])))
    with torch.no_grad():
        expected = model.predict_masks(canvases[[2, 0, 1]])
    made.clear()
    cache_masks(model, tmp_path / "masks")
    first = model.predict_masks(canvases[:2])
    again = model.predict_masks(canvases[[2, 0, 1]])
    assert made == [2, 1]
    assert len(list((tmp_path / "masks").iterdir())) == 3
    assert torch.equal(first.mask_features, again.mask_features[1:])
    assert torch.allclose(again.mask_features, expected.mask_features, atol=1e-3)
    for name in ("mask_logits", "queries"):
        layers = [getattr(outputs, name) for outputs in (first, again, expected)]
        assert len(layers[0]) == len(layers[1]) == len(layers[2]) > 1
        for one, other, wanted in zip(*layers, strict=True):
            assert torch.equal(one, other[1:])
            assert torch.allclose(other, wanted, atol=1e-3)
