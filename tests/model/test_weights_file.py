import os
import pickle
import random
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from odise_cli.errors import CheckpointError, MissingDataError
from odise_cli.model.weights_file import (
    check_tensors,
    first_line,
    load_exactly,
    read_tensors,
    refuse_misfits,
)

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.count": torch.tensor([7])}


def same(found: dict[str, Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(
        torch.equal(found[name], tensor) for name, tensor in TENSORS.items()
    )


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: {"model": t}, lambda t: {"state_dict": t}])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_torch_files(tmp_path: Path, wrap: Any, is_zip: bool) -> None:
    path = tmp_path / "weights.pth"
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=is_zip)
    assert same(read_tensors(path))


def test_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "weights.safetensors")
    assert same(read_tensors(tmp_path / "weights.safetensors"))


def test_what_is_no_tensor_is_left_out(tmp_path: Path) -> None:
    content = {"model": {**TENSORS, "epoch": 3}, "optimizer": {"lr": 0.1}, "iteration": 9}
    torch.save(content, tmp_path / "weights.pth")
    assert same(read_tensors(tmp_path / "weights.pth"))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(TENSORS["a.weight"].clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def save_torchscript(module: nn.Module, path: Path, *inputs: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(module, inputs), str(path))


def test_torchscript_archives_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "ViT.pt"
    save_torchscript(Linear(), path, torch.ones(1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_tensors(path)
    assert torch.equal(found["weight"], TENSORS["a.weight"])


@pytest.fixture
def lightning() -> Iterator[type]:
    """The class that original checkpoints pickle, under the name that they pickle it by."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    parts = name.split(".")
    packages = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for package in packages:
        sys.modules[package] = types.ModuleType(package)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    sys.modules[name].ModelCheckpoint = callback  # type: ignore[attr-defined]
    yield callback
    for package in packages:
        sys.modules.pop(package, None)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_class_mentioned_beside_the_tensors(
    tmp_path: Path, lightning: type, is_zip: bool
) -> None:
    content = {
        "state_dict": TENSORS,
        "callbacks": {lightning: {"monitor": "loss", "best_model_score": torch.tensor(0.5)}},
    }
    path = tmp_path / "sd.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    for name in [name for name in sys.modules if name.startswith("pytorch_lightning")]:
        del sys.modules[name]  # nobody who reads the file has it
    assert same(read_tensors(path))


class Executed:
    """Touches a file when unpickled by something that executes."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("container", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("beside_tensors", [True, False])
def test_code_in_a_file_is_never_executed(
    tmp_path: Path, container: str, beside_tensors: bool
) -> None:
    marker, path = tmp_path / "executed", tmp_path / "weights.pth"
    evil = Executed(marker)
    content = {"state_dict": TENSORS, "callbacks": evil} if beside_tensors else evil
    if container == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=container == "zip")
    with pytest.raises(CheckpointError, match="something else than tensors and was not executed"):
        read_tensors(path)
    assert not marker.exists()
    # The trap works: this is what unpickling it would have done.
    if container == "pickle":
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"nowhere\.pth: no such file"):
        read_tensors(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=f"{name}: cannot be read as weights"):
        read_tensors(tmp_path / name)


def saved(path: Path, container: str) -> bytes:
    if container == "safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=container == "zip")
    return path.read_bytes()


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
def test_truncated_file_at_every_length(tmp_path: Path, container: str) -> None:
    path = tmp_path / ("weights.safetensors" if container == "safetensors" else "weights.pth")
    content = saved(path, container)
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"weights\.(pth|safetensors): "):
            read_tensors(path)


@pytest.mark.parametrize("container", ["zip", "legacy", "safetensors"])
def test_damaged_file_is_read_or_refused(tmp_path: Path, container: str) -> None:
    path = tmp_path / ("weights.safetensors" if container == "safetensors" else "weights.pth")
    content = saved(path, container)
    draw = random.Random(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 3, 20])):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            read_tensors(path)
        except CheckpointError:
            refused += 1
    assert refused > 20


def test_random_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for seed in range(200):
        draw = random.Random(seed)
        path.write_bytes(draw.randbytes(draw.randrange(1, 300)))
        with pytest.raises(CheckpointError, match="Expected"):
            read_tensors(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [([1, 2], "holds a list"), (torch.ones(2), "holds a Tensor"), ({"a": 1}, "holds no tensor")],
)
def test_file_without_a_state_dict(tmp_path: Path, content: object, found: str) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match=found):
        read_tensors(tmp_path / "weights.pth")


def test_first_line() -> None:
    assert first_line(ValueError("\n too long\nby far")) == "too long"
    assert first_line(ValueError()) == "ValueError"


def test_misfits_are_named() -> None:
    found = {"b": torch.zeros(2, 3), "c": torch.zeros(1), "criterion": torch.zeros(1)}
    expected = {"a": torch.zeros(1), "b": torch.zeros(4, 3)}
    with pytest.raises(CheckpointError) as caught:
        check_tensors("head.pth", found, expected, ignored=("criterion",))
    assert str(caught.value).startswith(
        "head.pth: the tensors do not fit the architecture; 1 missing: a; 1 unexpected: c; "
        "1 misshapen: b (expected [4, 3], got [2, 3]). Expected"
    )


def test_many_misfits_are_counted() -> None:
    names = [f"layer.{i:02d}" for i in range(30)]
    with pytest.raises(CheckpointError, match=r"30 missing: layer\.00, .*layer\.07 and 22 more"):
        refuse_misfits("head.pth", missing=names, unexpected=())


def test_fitting_tensors() -> None:
    refuse_misfits("head.pth", missing=(), unexpected=())
    check_tensors("head.pth", TENSORS, TENSORS)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_loading_exactly_gives_fp32(dtype: torch.dtype) -> None:
    with torch.device("meta"):
        module = nn.Linear(2, 3)
    tensors = {"weight": torch.full((3, 2), 0.5, dtype=dtype), "bias": torch.ones(3, dtype=dtype)}
    load_exactly(module, "file", tensors)
    assert module(torch.ones(1, 2)).tolist() == [[2.0, 2.0, 2.0]]
    assert module.weight.dtype == torch.float32


def test_loading_exactly_refuses() -> None:
    with pytest.raises(CheckpointError, match="1 missing: bias"):
        load_exactly(nn.Linear(2, 3), "file", {"weight": torch.ones(3, 2)})
