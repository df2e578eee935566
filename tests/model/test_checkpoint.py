import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.checkpoint import (
    EMPTY_CAPTION_FILE,
    ModelFiles,
    head_tensors,
    load_masks,
    load_model,
    read_model_folder,
    save_head,
    save_model_folder,
)
from odise_cli.model.head_keys import to_published
from odise_cli.model.odise import Odise
from tests.golden import drawn
from tests.model.golden_trace import to_tensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn label model as a model folder."""
    folder = tmp_path_factory.mktemp("models") / "label"
    save_model_folder(drawn.build("label"), drawn.CLIP_CONFIG, folder)
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A model folder to damage."""
    return shutil.copytree(folder, tmp_path / "model")


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "odise.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@torch.no_grad()
def outputs(model: Odise) -> list[Tensor]:
    prediction = model([to_tensor(drawn.image())], drawn.vocabulary(model))[0]
    return [prediction.class_scores_QK, prediction.mask_logits_QHW]


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_saved_and_loaded_model_gives_the_same_numbers(
    tmp_path: Path, supervision: drawn.Supervision
) -> None:
    model = drawn.build(supervision)
    save_model_folder(model, drawn.CLIP_CONFIG, tmp_path / "model")
    loaded = load_model(read_model_folder(tmp_path / "model"), offline=True)
    ours, theirs = loaded.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(x, theirs[name]) for name, x in ours.items())
    assert all(torch.equal(*pair) for pair in zip(outputs(loaded), outputs(model), strict=True))
    assert loaded.config == model.config


def test_a_folder_does_not_say_where_its_parts_were_read(folder: Path, tmp_path: Path) -> None:
    loaded = load_model(read_model_folder(folder), offline=True)
    save_model_folder(loaded, drawn.CLIP_CONFIG, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*.json"):
        assert str(folder) not in path.read_text(), path


def test_layout_of_a_model_folder(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "odise.json",
        "head.safetensors",
        "empty_caption.safetensors",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "clip/open_clip_config.json",
        "clip/open_clip_model.safetensors",
    }


def test_loaded_model_is_frozen_and_evaluates(folder: Path) -> None:
    model = load_model(read_model_folder(folder))
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_seed_is_the_noise_and_nothing_else(folder: Path) -> None:
    files = read_model_folder(folder)
    first, second = load_model(files, seed=42), load_model(files, seed=43)
    expected = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(42))
    assert torch.equal(first.diffusion.noise, expected)
    assert not torch.equal(second.diffusion.noise, expected)
    assert all(torch.equal(x, second.state_dict()[name]) for name, x in first.state_dict().items())


def test_weight_files_are_the_local_ones(folder: Path) -> None:
    expected = sorted(folder.rglob("*.safetensors"))
    assert len(expected) == 5
    assert read_model_folder(folder).weight_files() == expected


def test_weight_files_of_named_parts(copy: Path) -> None:
    edit_config(copy, clip="ViT-L-14-336-quickgelu/openai", diffusion="nobody/nothing")
    files = read_model_folder(copy)
    assert (files.clip, files.diffusion) == ("ViT-L-14-336-quickgelu/openai", "nobody/nothing")
    assert files.weight_files() == [copy / "empty_caption.safetensors", copy / "head.safetensors"]


@pytest.mark.parametrize("is_absolute", [True, False])
def test_parts_in_other_places(folder: Path, copy: Path, tmp_path: Path, is_absolute: bool) -> None:
    shutil.move(copy / "clip", tmp_path / "clip")
    (tmp_path / "sd").mkdir()
    for part in ("unet", "vae"):
        shutil.move(copy / part, tmp_path / "sd" / part)
    prefix = str(tmp_path) if is_absolute else ".."
    edit_config(copy, clip=f"{prefix}/clip", diffusion=f"{prefix}/sd")
    loaded, expected = load_model(read_model_folder(copy)), load_model(read_model_folder(folder))
    assert all(torch.equal(*pair) for pair in zip(outputs(loaded), outputs(expected), strict=True))


def published_head(model: Odise) -> dict[str, Tensor]:
    return to_published(head_tensors(model), supervision=model.config.supervision)


def test_masks_of_a_head_of_the_other_supervision() -> None:
    label, caption = drawn.build("label"), drawn.build("caption")
    untouched = drawn.build("caption").state_dict()
    with torch.no_grad():
        for tensor in head_tensors(label).values():
            tensor += 1.0
    load_masks(caption, "head", published_head(label))
    words = ("head.", "mask_generator.mask_pooling.", "mask_generator.class_embed.")
    theirs = head_tensors(label)
    for name, tensor in head_tensors(caption).items():
        assert torch.equal(tensor, (untouched if name.startswith(words) else theirs)[name]), name


def test_masks_that_a_head_lacks() -> None:
    published = published_head(drawn.build("label"))
    del published["sem_seg_head.predictor.query_feat.weight"]
    with pytest.raises(CheckpointError, match=r"^head: .*predictor\.query_feat\.weight"):
        load_masks(drawn.build("caption"), "head", published)


def test_published_head(folder: Path, tmp_path: Path) -> None:
    tensors = {**published_head(drawn.build("label")), "criterion.empty_weight": torch.ones(134)}
    path = tmp_path / "odise_label_coco_50e-b67d2efc.pth"
    torch.save({"model": tensors, "iteration": 92_187}, path)
    loaded = load_model(replace(read_model_folder(folder), head=path))
    expected = drawn.build("label").state_dict()
    assert all(torch.equal(x, expected[name]) for name, x in loaded.state_dict().items())


def test_head_alone(tmp_path: Path) -> None:
    save_head(drawn.build("caption"), tmp_path / "head.safetensors")
    found, expected = (
        load_file(tmp_path / "head.safetensors"),
        published_head(drawn.build("caption")),
    )
    assert found.keys() == expected.keys()
    assert all(torch.equal(x, expected[name]) for name, x in found.items())


def with_head(folder: Path, tmp_path: Path, tensors: dict[str, Tensor]) -> ModelFiles:
    torch.save(tensors, tmp_path / "other.pth")
    return replace(read_model_folder(folder), head=tmp_path / "other.pth")


def test_head_in_half_precision_is_loaded_as_fp32(folder: Path, tmp_path: Path) -> None:
    tensors = {name: x.half() for name, x in published_head(drawn.build("label")).items()}
    loaded = load_model(with_head(folder, tmp_path, tensors))
    assert loaded.head.text_proj.weight.dtype == torch.float32
    expected = drawn.build("label").head.text_proj.weight.half().float()
    assert torch.equal(loaded.head.text_proj.weight, expected)


def test_caption_head_in_a_label_model(folder: Path, tmp_path: Path) -> None:
    files = with_head(folder, tmp_path, published_head(drawn.build("caption")))
    with pytest.raises(CheckpointError, match="supervision \\(label or caption\\)") as caught:
        load_model(files)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'other.pth'}: the tensors do not fit")
    assert "3 missing: category_head.null_embed, category_head.text_proj.bias" in message
    assert "4 unexpected: sem_seg_head.predictor.class_embed.bias" in message
    assert "word_head.text_proj.weight" in message


Change = Callable[[dict[str, Tensor]], None]


def narrow(tensors: dict[str, Tensor]) -> None:
    tensors["category_head.text_proj.weight"] = torch.zeros(16, 32)


def forget(tensors: dict[str, Tensor]) -> None:
    del tensors["sem_seg_head.predictor.level_embed.weight"]


def surprise(tensors: dict[str, Tensor]) -> None:
    tensors["surprise"] = torch.zeros(1)


def drop_attention(tensors: dict[str, Tensor]) -> None:
    del tensors["sem_seg_head.predictor.transformer_self_attention_layers.1.self_attn.in_proj_bias"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (narrow, r"1 misshapen: category_head\.text_proj\.weight \(expected \[32, 32\], got"),
        (forget, r"1 missing: sem_seg_head\.predictor\.level_embed\.weight"),
        (surprise, "1 unexpected: surprise"),
        (drop_attention, r"1 missing: .*self_attention_layers\.1\.self_attn\.in_proj_bias\."),
    ],
)
def test_head_that_does_not_fit(
    folder: Path, tmp_path: Path, change: Change, complaint: str
) -> None:
    tensors = published_head(drawn.build("label"))
    change(tensors)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(with_head(folder, tmp_path, tensors))


def test_head_of_a_wider_model(folder: Path, copy: Path) -> None:
    generator = {**json.loads((copy / "odise.json").read_text())["mask_generator"]}
    edit_config(copy, mask_generator=generator | {"hidden_dim": 64})
    with pytest.raises(CheckpointError, match=r"misshapen: .*\(expected \[64"):
        load_model(read_model_folder(copy))


def test_head_of_a_deeper_model(copy: Path) -> None:
    generator = {**json.loads((copy / "odise.json").read_text())["mask_generator"]}
    edit_config(copy, mask_generator=generator | {"decoder_layers": 4})
    with pytest.raises(CheckpointError, match=r"18 missing: .*cross_attention_layers\.3"):
        load_model(read_model_folder(copy))


@pytest.mark.parametrize("name", ["head.safetensors", "unet/config.json", "clip"])
def test_missing_part(copy: Path, name: str) -> None:
    path = copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingDataError, match="Expected"):
        load_model(read_model_folder(copy))


@pytest.mark.parametrize("name", ["head", "unet/diffusion_pytorch_model", "clip/open_clip_model"])
def test_truncated_part(copy: Path, name: str) -> None:
    path = copy / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(MissingDataError, match="cannot be"):
        load_model(read_model_folder(copy))


def test_no_empty_caption(copy: Path) -> None:
    (copy / EMPTY_CAPTION_FILE).unlink()
    with pytest.raises(MissingDataError, match=r"has no text encoder.*empty_caption\.safetensors"):
        load_model(read_model_folder(copy))


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({"other": torch.zeros(1)}, "1 missing: empty_caption; 1 unexpected: other"),
        (
            {"empty_caption": torch.zeros(1, 77, 768)},
            r"1 misshapen: empty_caption \(expected \[1, 77, 32\], got \[1, 77, 768\]\)",
        ),
    ],
)
def test_wrong_empty_caption(copy: Path, tensors: dict[str, Tensor], complaint: str) -> None:
    save_file(tensors, copy / EMPTY_CAPTION_FILE)
    with pytest.raises(CheckpointError, match=complaint):
        load_model(read_model_folder(copy))


def test_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"no odise\.json in it"):
        read_model_folder(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "7", '{"format": 1, "diffusion": 5}'])
def test_unreadable_configuration(tmp_path: Path, content: str) -> None:
    (tmp_path / "odise.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"odise\.json: is no JSON object"):
        read_model_folder(tmp_path)
