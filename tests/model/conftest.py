"""The golden fixtures: reference tensors, and our model with the reference's recipe weights."""

import importlib.util
import json
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.odise import Odise

CASES = ("sq512", "r640", "sq1024", "pad600", "small384")
TINY_GENERATOR = MaskGeneratorConfig(
    feature_channels=256,
    hidden_dim=64,
    num_queries=12,
    encoder_layers=2,
    encoder_feedforward_dim=128,
    decoder_layers=3,
    decoder_feedforward_dim=128,
)


class Golden:
    """The reference's numbers and the recipe that its weights come from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = _import(folder / "recipe.py")
        self.unit = json.loads((folder / "unit" / "unit.json").read_text())
        self.unit_tensors = load_file(folder / "unit" / "unit.safetensors")
        self.runs = json.loads((folder / "tiny" / "runs.json").read_text())

    def keys(self, name: str) -> list[list[Any]]:
        return json.loads((self.folder / name).read_text())

    def weight(self, key: str, shape: list[int]) -> Tensor:
        return torch.from_numpy(np.array(self.recipe.value(key, tuple(shape))))

    def unit_input(self, name: str) -> Tensor:
        spec = self.unit["inputs"][name]
        shape, mean, std = spec["shape"], spec["mean"], spec["std"]
        data = np.random.RandomState(zlib.crc32(f"input/{name}".encode())).bytes(
            int(np.prod(shape))
        )
        levels = np.arange(256, dtype=np.float64)
        table = (mean + std * (levels - 127.5) / self.recipe.NORM255).astype(np.float32)
        return torch.from_numpy(table[np.frombuffer(data, np.uint8)].reshape(shape).copy())

    def image(self, case: str) -> np.ndarray:
        return np.load(self.folder / "tiny" / "images.npz")[case]

    def tensors(self, kind: str, case: str, *, size: str = "tiny") -> "GoldenTensors":
        return GoldenTensors(self.folder / size / f"{kind}_{case}")

    def write_model(self, folder: Path, supervision: str) -> Path:
        """A model folder whose parts are files as their publishers name and key them."""
        folder.mkdir(parents=True)
        ldm, clip = {}, {}
        for key, shape in self.keys("tiny/frozen_keys.json"):
            space, name = key.split("/", 1)
            (ldm if space == "ldm" else clip)[name] = self.weight(key, shape)
        save_file(ldm, folder / "diffusion.safetensors")
        # A folder and not a bare file: the tiny text tower's heads are not OpenAI's width / 64.
        save_clip_folder(self.runs["size"]["clip"] | {"quick_gelu": True}, clip, folder / "clip")
        empty = self.weight("ldm/uncond_inputs", [1, 77, 64])
        save_file({"empty_caption": empty}, folder / "empty_caption.safetensors")
        head = {
            key: self.weight(f"odise/{key}", shape)
            for key, shape, _ in self.keys(f"tiny/{supervision}_keys.json")
        }
        save_file(head, folder / "head.safetensors")
        alpha, beta = (0.3, 0.7) if supervision == "label" else (0.35, 0.65)
        config = ModelConfig(
            supervision=supervision,  # type: ignore[arg-type]
            alpha=alpha,
            beta=beta,
            mask_generator=TINY_GENERATOR,
        )
        content = {**config.to_json(), "diffusion": "diffusion.safetensors"}
        (folder / "odise.json").write_text(json.dumps(content))
        return folder

    def words(self) -> list[list[str]]:
        return self.runs["test_labels"]

    def training_words(self) -> set[str]:
        table = self.folder.parent / "data" / "categories" / "coco_panoptic_133.json"
        categories = json.loads(table.read_text())["categories"]
        return {word for category in categories for word in category["label_names"]}

    def text(self, model: Odise) -> TextEmbeddings:
        """The test vocabulary, embedded as the model's supervision wants it."""
        flat = [word for words in self.words() for word in words]
        photo = model.clip.embed_words([f"a photo of a {word}." for word in flat])
        bare = model.clip.embed_words(flat)
        seen = self.training_words()
        return TextEmbeddings(
            head_ND=bare if model.config.supervision == "label" else photo,
            photo_ND=photo,
            category_N=torch.tensor([k for k, words in enumerate(self.words()) for _ in words]),
            seen_K=torch.tensor([any(w in seen for w in words) for words in self.words()]),
        )


def save_clip_folder(config: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> None:
    """open_clip's own folder format."""
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(tensors, folder / "open_clip_model.safetensors")


class GoldenTensors:
    """Named tensors of one run, some of them stored with a stride."""

    def __init__(self, stem: Path) -> None:
        self.stored = load_file(f"{stem}.safetensors")
        self.info = json.loads(Path(f"{stem}.json").read_text())

    def __contains__(self, name: str) -> bool:
        return name in self.stored

    def error(self, name: str, ours: Tensor) -> float:
        """Relative L2 distance of our tensor from the reference's stored samples."""
        info = self.info[name]
        assert list(ours.shape) == info["shape"], f"{name}: {list(ours.shape)} != {info['shape']}"
        samples = ours.flatten()[:: info["step"]].double()
        reference = self.stored[name].flatten().double()
        return float((samples - reference[: len(samples)]).norm() / reference.norm())

    def flipped(self, name: str, ours: Tensor) -> float:
        """Share of bits that differ."""
        info = self.info[name]
        assert list(ours.shape) == info["shape"], f"{name}: {list(ours.shape)} != {info['shape']}"
        samples = ours.flatten()[:: info["step"]].bool()
        return float((samples != self.stored[name].flatten().bool()).float().mean())


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip("the reference's golden numbers are not beside this checkout")
    return Golden(folder)


@pytest.fixture(scope="session")
def label_folder(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.write_model(tmp_path_factory.mktemp("golden") / "label", "label")


@pytest.fixture(scope="session")
def caption_folder(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golden.write_model(tmp_path_factory.mktemp("golden") / "caption", "caption")


@pytest.fixture(scope="session")
def label_model(label_folder: Path) -> Odise:
    return load_model(read_model_folder(label_folder))


@pytest.fixture(scope="session")
def caption_model(caption_folder: Path) -> Odise:
    return load_model(read_model_folder(caption_folder))
