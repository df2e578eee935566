"""The reference's golden numbers, and model folders with the weights that they were made from."""

import importlib.util
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.config import MaskGeneratorConfig, ModelConfig
from odise_cli.model.odise import Odise
from tests.golden import drawn

CASES = ("sq512", "r640", "sq1024", "pad600", "small384")
# MANIFEST.md, "Tolerances": relative L2 before and after the first hard threshold, share of bits.
SMOOTH, THRESHOLDED, BITS = 1e-4, 1e-3, 1e-3
FUSION = {"label": (0.3, 0.7), "caption": (0.35, 0.65)}
TINY_GENERATOR = MaskGeneratorConfig(
    feature_channels=256,
    hidden_dim=64,
    num_queries=12,
    encoder_layers=2,
    encoder_feedforward_dim=128,
    decoder_layers=3,
    decoder_feedforward_dim=128,
)

Check = Callable[[dict[str, float], float], None]
"""Asserts that every error is within the limit, and notes the worst in the test's report."""


class Golden:
    """The reference's numbers and the recipe that its weights come from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe = _import(folder / "recipe.py")
        self.unit = json.loads((folder / "unit" / "unit.json").read_text())
        self.unit_tensors = load_file(folder / "unit" / "unit.safetensors")
        self.runs = json.loads((folder / "tiny" / "runs.json").read_text())

    def json(self, name: str) -> Any:
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
        """A tiny model folder whose parts are files as their publishers name and key them."""
        folder.mkdir(parents=True)
        ldm, clip = self.frozen_weights(self.json("tiny/frozen_keys.json"))
        save_file(ldm, folder / "diffusion.safetensors")
        # A folder and not a bare file: the tiny text tower's heads are not OpenAI's width / 64.
        save_clip_folder(self.runs["size"]["clip"] | {"quick_gelu": True}, clip, folder / "clip")
        self.write_head(
            folder,
            supervision,
            self.json(f"tiny/{supervision}_keys.json"),
            text_width=64,
            mask_generator=TINY_GENERATOR,
        )
        return folder

    def write_full_model(self, folder: Path, supervision: str) -> Path:
        """The full-size model; its CLIP is a bare file with OpenAI's keys."""
        folder.mkdir(parents=True)
        keys = self.json("full/recipe_keys_shapes_crc32.json")
        ldm, clip = self.frozen_weights(key for key in keys if not key[0].startswith("odise/"))
        save_file(ldm, folder / "diffusion.safetensors")
        save_file(clip, folder / "clip.safetensors")
        self.write_head(
            folder,
            supervision,
            self.json(f"full_{supervision}_keys.json"),
            text_width=768,
            mask_generator=MaskGeneratorConfig(),
        )
        return folder

    def frozen_weights(
        self, keys: Iterable[list[Any]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The diffusion model's and CLIP's tensors under their own keys."""
        spaces: dict[str, dict[str, Tensor]] = {"ldm": {}, "clip": {}}
        for key, shape, *_ in keys:
            space, name = key.split("/", 1)
            spaces[space][name] = self.weight(key, shape)
        return spaces["ldm"], spaces["clip"]

    def write_head(
        self,
        folder: Path,
        supervision: str,
        keys: list[list[Any]],
        *,
        text_width: int,
        mask_generator: MaskGeneratorConfig,
    ) -> None:
        """Head, empty caption and configuration of a model folder."""
        empty = self.weight("ldm/uncond_inputs", [1, 77, text_width])
        save_file({"empty_caption": empty}, folder / "empty_caption.safetensors")
        head = {key: self.weight(f"odise/{key}", shape) for key, shape, _ in keys}
        save_file(head, folder / "head.safetensors")
        alpha, beta = FUSION[supervision]
        config = ModelConfig(
            supervision=supervision,  # type: ignore[arg-type]
            alpha=alpha,
            beta=beta,
            mask_generator=mask_generator,
        )
        content = {**config.to_json(), "diffusion": "diffusion.safetensors"}
        if (folder / "clip.safetensors").is_file():
            content["clip"] = "clip.safetensors"
        (folder / "odise.json").write_text(json.dumps(content))

    def words(self) -> list[list[str]]:
        return self.runs["test_labels"]

    def training_words(self) -> list[list[str]]:
        table = self.folder.parent / "data" / "categories" / "coco_panoptic_133.json"
        return [category["label_names"] for category in json.loads(table.read_text())["categories"]]

    def text(self, model: Odise) -> TextEmbeddings:
        """The test vocabulary, embedded as the model's supervision wants it."""
        seen = {word for words in self.training_words() for word in words}
        return drawn.vocabulary(
            model, self.words(), [any(w in seen for w in words) for words in self.words()]
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

    def errors(self, ours: dict[str, Tensor], names: Iterable[str]) -> dict[str, float]:
        """Relative L2 distances of those of `names` that the reference stored."""
        return {name: self._error(name, ours[name]) for name in names if name in self}

    def flipped(self, ours: dict[str, Tensor], names: Iterable[str]) -> dict[str, float]:
        """Shares of bits that differ."""
        return {
            name: float((a.bool() != b.bool()).float().mean())
            for name in names
            for a, b in [self._samples(name, ours[name])]
        }

    def _error(self, name: str, ours: Tensor) -> float:
        samples, reference = self._samples(name, ours)
        return relative_error(samples, reference)

    def _samples(self, name: str, ours: Tensor) -> tuple[Tensor, Tensor]:
        info = self.info[name]
        assert list(ours.shape) == info["shape"], f"{name}: {list(ours.shape)} != {info['shape']}"
        return ours.flatten()[:: info["step"]], self.stored[name].flatten()


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """‖ours − reference‖ / ‖reference‖ in double precision."""
    assert ours.shape == reference.shape, f"{list(ours.shape)} != {list(reference.shape)}"
    expected = reference.double()
    return float((ours.double() - expected).norm() / expected.norm())


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_recipe", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
