"""The CLIP half of frozen_weights.py."""

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.frozen_weights import build_clip, clip_config, load_clip, save_clip
from tests.golden import drawn
from tests.model.test_weights_file import save_torchscript

OPENAI_CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 42, "layers": 2, "width": 128, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 512, "width": 64, "heads": 1, "layers": 3},
}


@pytest.fixture
def openai() -> Any:
    """A CLIP as OpenAI trains them: QuickGELU, heads of width 64."""
    clip = open_clip.model.CLIP(**OPENAI_CONFIG, quick_gelu=True).eval()
    drawn.fill(clip, "openai")
    return clip


def assert_same_clip(ours: nn.Module, theirs: nn.Module, *, rtol: float = 0.0) -> None:
    images, tokens = torch.rand(2, 3, 42, 42), torch.randint(1, 512, (2, 77))
    with torch.no_grad():
        for found, expected in zip(ours(images, tokens), theirs(images, tokens), strict=True):
            torch.testing.assert_close(found, expected, rtol=rtol, atol=rtol)


def test_clip_config_is_read_off_the_shapes(openai: Any) -> None:
    assert clip_config("file", openai.state_dict()) == {**OPENAI_CONFIG, "quick_gelu": True}


@pytest.mark.parametrize("name", ["clip.safetensors", "clip.pt"])
def test_clip_state_dict_file(tmp_path: Path, openai: Any, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".pt":
        torch.save(openai.state_dict(), path)
    else:
        save_file(openai.state_dict(), path)
    loaded = load_clip(str(path), offline=True)
    assert type(loaded.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert type(loaded.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert not loaded.training
    assert_same_clip(loaded, openai)


class Archive(nn.Module):
    """Nothing but tensors under dotted names, which is all that matters of an archive."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, leaf = name.split(".")
            module: nn.Module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module.get_submodule(part)
            module.register_buffer(leaf, tensor)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_clip_torchscript_archive_in_half_precision(tmp_path: Path, openai: Any) -> None:
    numbers = {"input_resolution": 42, "context_length": 77, "vocab_size": 512}
    tensors = {name: x.half() for name, x in openai.state_dict().items()}
    tensors |= {name: torch.tensor(number) for name, number in numbers.items()}
    save_torchscript(Archive(tensors), tmp_path / "ViT.pt", torch.ones(1))
    loaded = load_clip(str(tmp_path / "ViT.pt"), offline=True)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert_same_clip(loaded, openai.half().float())


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_clip_folder_keeps_its_own_activation(
    tmp_path: Path, openai: Any, quick_gelu: bool
) -> None:
    config = {**OPENAI_CONFIG, "quick_gelu": quick_gelu}
    model = build_clip(config, "copy", openai.state_dict())
    save_clip(model, config, tmp_path / "clip")
    loaded = load_clip(str(tmp_path / "clip"), offline=True)
    assert_same_clip(loaded, model)
    name = type(loaded.visual.transformer.resblocks[0].mlp.gelu).__name__
    assert name == ("QuickGELU" if quick_gelu else "GELU")


def test_clip_folder_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"open_clip_config\.json is missing or unreadable"):
        load_clip(str(tmp_path), offline=True)


def test_clip_folder_without_weights(tmp_path: Path) -> None:
    content = {"model_cfg": {**OPENAI_CONFIG, "quick_gelu": True}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(MissingDataError, match=r"open_clip_model\.safetensors: no such file"):
        load_clip(str(tmp_path), offline=True)


def test_clip_folder_of_another_kind(tmp_path: Path, openai: Any) -> None:
    save_clip(openai, {**OPENAI_CONFIG, "multimodal_cfg": {}}, tmp_path)
    with pytest.raises(CheckpointError, match=r"no configuration of a plain CLIP .*multimodal_cfg"):
        load_clip(str(tmp_path), offline=True)


def test_clip_tensors_that_do_not_fit(tmp_path: Path, openai: Any) -> None:
    tensors = openai.state_dict()
    tensors["surprise"] = tensors.pop("ln_final.bias")
    save_file(tensors, tmp_path / "clip.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing: ln_final\.bias; 1 unexpected: surprise"):
        load_clip(str(tmp_path / "clip.safetensors"), offline=True)


def test_file_that_is_no_clip(tmp_path: Path) -> None:
    save_file({"visual.conv1.weight": torch.ones(2)}, tmp_path / "clip.safetensors")
    with pytest.raises(CheckpointError, match="is no CLIP with a vision transformer"):
        load_clip(str(tmp_path / "clip.safetensors"), offline=True)


@pytest.mark.parametrize("name", ["ViT-L-14-336-quickgelu", "ViT-L-14/nobody", "clip.pt"])
def test_unknown_clip(name: str) -> None:
    with pytest.raises(MissingDataError, match="neither a file nor a folder"):
        load_clip(name, offline=False)


def test_clip_by_name_offline() -> None:
    with pytest.raises(MissingDataError, match="--offline forbids that"):
        load_clip("ViT-L-14-336-quickgelu/openai", offline=True)


def test_clip_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The hub library's own switch: the download fails at once.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingDataError, match="open_clip could not fetch it"):
        load_clip("ViT-B-32-quickgelu/openai", offline=False)
