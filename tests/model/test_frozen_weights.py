"""The diffusion half of frozen_weights.py."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.frozen_weights import (
    DiffusionParts,
    load_diffusion,
    unet_config,
    vae_config,
)
from tests.golden import drawn
from tests.model.original_layout import original_checkpoint

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
VAE_FILE = "vae/diffusion_pytorch_model.safetensors"
TEXT_FILE = "text_encoder/model.safetensors"
ANYWHERE = pytest.mark.parametrize("part", [UNET_FILE, VAE_FILE, TEXT_FILE])


@pytest.fixture(scope="module")
def diffusers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion v1 at a tenth of the width, its text encoder included."""
    folder = tmp_path_factory.mktemp("diffusers")
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=1,
        hidden_act="quick_gelu",
    )
    parts = {
        "unet": UNet2DConditionModel(**unet_config(32, 32)),
        "vae": AutoencoderKL(**vae_config(32)),
        "text_encoder": CLIPTextModel(text),
    }
    for name, part in parts.items():
        drawn.fill(part, name)
        part.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def parts(diffusers_folder: Path) -> DiffusionParts:
    return load_diffusion(str(diffusers_folder), offline=True)


@pytest.fixture(scope="module")
def original(diffusers_folder: Path) -> dict[str, Tensor]:
    return original_checkpoint(
        *(load_file(diffusers_folder / name) for name in (UNET_FILE, VAE_FILE, TEXT_FILE))
    )


def assert_same(found: DiffusionParts, expected: DiffusionParts) -> None:
    for ours, theirs in ((found.unet, expected.unet), (found.vae, expected.vae)):
        our_tensors, their_tensors = ours.state_dict(), theirs.state_dict()
        assert our_tensors.keys() == their_tensors.keys()
        assert all(torch.equal(x, their_tensors[name]) for name, x in our_tensors.items())
        assert {p.dtype for p in ours.parameters()} == {torch.float32}
        assert not ours.training
    assert found.empty_caption is not None
    assert expected.empty_caption is not None
    torch.testing.assert_close(found.empty_caption, expected.empty_caption)


def test_diffusers_folder_gives_what_was_saved(
    diffusers_folder: Path, parts: DiffusionParts
) -> None:
    saved = load_file(diffusers_folder / UNET_FILE)
    assert all(torch.equal(x, saved[name]) for name, x in parts.unet.state_dict().items())
    saved = load_file(diffusers_folder / VAE_FILE)
    assert all(torch.equal(x, saved[name]) for name, x in parts.vae.state_dict().items())


def test_empty_caption_is_the_encoding_of_two_special_tokens(
    diffusers_folder: Path, parts: DiffusionParts
) -> None:
    encoder = CLIPTextModel.from_pretrained(diffusers_folder / "text_encoder")
    # What CLIPTokenizer makes of "" with padding="max_length".
    tokens = torch.tensor([[49406] + 76 * [49407]])
    with torch.no_grad():
        expected = encoder(tokens)[0]
    assert parts.empty_caption is not None
    assert parts.empty_caption.shape == (1, 77, 32)
    torch.testing.assert_close(parts.empty_caption, expected)


def save_original(tensors: dict[str, Tensor], path: Path) -> str:
    if path.suffix == ".safetensors":
        save_file({name: x.contiguous() for name, x in tensors.items()}, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 470_000}, path)
    return str(path)


@pytest.mark.parametrize("name", ["sd.safetensors", "sd.ckpt"])
def test_original_checkpoint_equals_diffusers_folder(
    tmp_path: Path, original: dict[str, Tensor], parts: DiffusionParts, name: str
) -> None:
    source = save_original(original, tmp_path / name)
    assert_same(load_diffusion(source, offline=True), parts)


def test_original_checkpoint_with_what_else_they_hold(
    tmp_path: Path, original: dict[str, Tensor], parts: DiffusionParts
) -> None:
    ema = {
        f"model_ema.{name.removeprefix('model.').replace('.', '')}": torch.zeros_like(x)
        for name, x in original.items()
        if name.startswith("model.diffusion_model.")
    }
    positions = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    more = {"betas": torch.ones(1000), positions: torch.arange(77)[None]}
    source = save_original({**original, **ema, **more}, tmp_path / "sd.ckpt")
    assert_same(load_diffusion(source, offline=True), parts)


def test_half_precision_files_are_loaded_as_fp32(
    tmp_path: Path, diffusers_folder: Path, original: dict[str, Tensor]
) -> None:
    folder = tmp_path / "half"
    loaded = load_diffusion(str(diffusers_folder), offline=True)
    loaded.unet.half().save_pretrained(folder / "unet")
    loaded.vae.half().save_pretrained(folder / "vae")
    encoder = CLIPTextModel.from_pretrained(diffusers_folder / "text_encoder")
    encoder.half().save_pretrained(folder / "text_encoder")
    from_folder = load_diffusion(str(folder), offline=True)
    halves = {name: x.half() for name, x in original.items()}
    source = save_original(halves, tmp_path / "sd.safetensors")
    assert_same(load_diffusion(source, offline=True), from_folder)
    assert from_folder.empty_caption is not None
    assert from_folder.empty_caption.dtype == torch.float32


def test_text_encoder_as_older_versions_saved_it(
    tmp_path: Path, diffusers_folder: Path, parts: DiffusionParts
) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "old")
    tensors = {f"text_model.{name}": x for name, x in load_file(folder / TEXT_FILE).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, folder / TEXT_FILE, metadata={"format": "pt"})
    assert_same(load_diffusion(str(folder), offline=True), parts)


def test_folder_without_text_encoder(tmp_path: Path, diffusers_folder: Path) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sd")
    shutil.rmtree(folder / "text_encoder")
    assert load_diffusion(str(folder), offline=True).empty_caption is None


def test_original_checkpoint_without_text_encoder(
    tmp_path: Path, original: dict[str, Tensor]
) -> None:
    tensors = {name: x for name, x in original.items() if not name.startswith("cond_stage")}
    source = save_original(tensors, tmp_path / "sd.safetensors")
    assert load_diffusion(source, offline=True).empty_caption is None


Change = Callable[[dict[str, Tensor]], None]


def drop_one(tensors: dict[str, Tensor]) -> None:
    del tensors[min(name for name in tensors if name.endswith("bias"))]


def add_one(tensors: dict[str, Tensor]) -> None:
    tensors["surprise"] = torch.zeros(2)


def cut_one(tensors: dict[str, Tensor]) -> None:
    name = max(name for name in tensors if name.endswith("norm.weight") or "_norm" in name)
    tensors[name] = tensors[name][:-1].clone()


@ANYWHERE
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop_one, r"1 missing: \S+\.bias"),
        (add_one, "1 unexpected: surprise"),
        (cut_one, r"norm\S+ .*expected"),
    ],
    ids=["missing", "unexpected", "misshapen"],
)
def test_diffusers_tensors_that_do_not_fit(
    tmp_path: Path, diffusers_folder: Path, part: str, change: Change, complaint: str
) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sd")
    tensors = {name: x.clone() for name, x in load_file(folder / part).items()}
    change(tensors)
    save_file(tensors, folder / part, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=complaint):
        load_diffusion(str(folder), offline=True)


@ANYWHERE
@pytest.mark.parametrize("length", [0, 5000, 100_000])
def test_truncated_diffusers_file(
    tmp_path: Path, diffusers_folder: Path, part: str, length: int
) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sd")
    (folder / part).write_bytes((diffusers_folder / part).read_bytes()[:length])
    with pytest.raises(MissingDataError, match=r"sd: cannot be (loaded|used) as a diffusion model"):
        load_diffusion(str(folder), offline=True)


@ANYWHERE
def test_pickles_are_no_fallback(tmp_path: Path, diffusers_folder: Path, part: str) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sd")
    tensors = load_file(folder / part)
    (folder / part).unlink()
    pickled = "pytorch_model.bin" if part == TEXT_FILE else "diffusion_pytorch_model.bin"
    torch.save(tensors, (folder / part).with_name(pickled))
    with pytest.raises(MissingDataError, match="cannot be loaded as a diffusion model"):
        load_diffusion(str(folder), offline=True)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_damaged_configuration(tmp_path: Path, diffusers_folder: Path, part: str) -> None:
    folder = shutil.copytree(diffusers_folder, tmp_path / "sd")
    (folder / part / "config.json").write_text("{")
    with pytest.raises(MissingDataError, match="cannot be loaded as a diffusion model"):
        load_diffusion(str(folder), offline=True)


def test_folder_without_a_diffusion_model(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="Expected a diffusers folder with unet/"):
        load_diffusion(str(tmp_path), offline=False)


def test_original_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"sd\.ckpt: no such file"):
        load_diffusion(str(tmp_path / "sd.ckpt"), offline=False)


def test_file_of_something_else(tmp_path: Path) -> None:
    source = save_original({"a": torch.zeros(1)}, tmp_path / "sd.safetensors")
    with pytest.raises(CheckpointError, match=r"no tensor begins with 'model\.diffusion_model\.'"):
        load_diffusion(source, offline=True)


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", "input_blocks.0.0.weight' is missing"),
        ("first_stage_model.encoder.conv_in.weight", "encoder.conv_in.weight' is missing"),
        ("model.diffusion_model.out.2.bias", "1 missing: conv_out.bias"),
        (
            "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
            "no token_embedding",
        ),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.bias",
            "1 missing: final_layer_norm.bias",
        ),
    ],
)
def test_incomplete_original_checkpoint(
    tmp_path: Path, original: dict[str, Tensor], missing: str, complaint: str
) -> None:
    tensors = {name: x for name, x in original.items() if name != missing}
    source = save_original(tensors, tmp_path / "sd.safetensors")
    with pytest.raises(CheckpointError, match=complaint):
        load_diffusion(source, offline=True)


@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks` argument:UserWarning")
def test_hub_id_offline_is_refused_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", _refuse_network)
    monkeypatch.setattr("socket.getaddrinfo", _refuse_network)
    start = time.monotonic()
    with pytest.raises(MissingDataError, match="nobody/nothing: cannot be loaded"):
        load_diffusion("nobody/nothing", offline=True)
    assert time.monotonic() - start < 5


def _refuse_network(*_args: object) -> None:
    raise AssertionError("the network was asked")
