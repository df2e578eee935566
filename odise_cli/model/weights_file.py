"""Files of tensors, read without ever executing what they hold.

Reads safetensors, zip and legacy torch files and TorchScript archives (OpenAI's CLIP); compares
what was found with what a module needs. Knows nothing of architectures.
"""

import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from odise_cli.errors import CheckpointError, MissingDataError

_MAX_NAMED = 8
_KNOWN_WARNINGS = (
    # OpenAI publishes CLIP as TorchScript, and nothing else reads that.
    "`torch.jit.load` is deprecated",
    # About pickles that torch did not write; the refusal that follows says more.
    "Detected pickle protocol",
)


class _IgnoredCallback:
    """Stands for a class that original Stable Diffusion checkpoints mention beside tensors."""


_MENTIONED_CLASSES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_IgnoredCallback, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"),
    (_IgnoredCallback, "pytorch_lightning.callbacks.ModelCheckpoint"),
]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors; a `state_dict` or `model` inside it is what counts.

    Raises:
        MissingDataError: if there is no such file.
        CheckpointError: if it is truncated, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such file. Expected weights (.pth, .pt, .ckpt or .safetensors). "
            "Check the path."
        )
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from error
    content = _torch_load(path)
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}. Expected a dictionary of tensors. "
            "Use the file that was published, or one that odise wrote."
        )
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f"{path}: holds no tensor. Expected a state dict. "
            "Use the file that was published, or one that odise wrote."
        )
    return tensors


def _torch_load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            for message in _KNOWN_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            if _is_torchscript(path):
                return torch.jit.load(str(path), map_location="cpu").state_dict()
            with torch.serialization.safe_globals(_MENTIONED_CLASSES):
                # Mapping reads only what is used; files of the legacy format cannot be mapped.
                is_mappable = zipfile.is_zipfile(path)
                return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mappable)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: holds something else than tensors and was not executed. "
            "Expected a state dict that loads with weights_only=True. "
            f"Use the published file ({first_line(error)})."
        ) from error
    # Of damaged bytes the unpickler makes IndexError, struct.error, AssertionError and more.
    except Exception as error:
        raise _unreadable(path, error) from error


def _is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, which `torch.load` refuses."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: cannot be read as weights ({first_line(error)}). "
        "Expected a complete .pth, .pt, .ckpt or .safetensors file. "
        "It may be truncated: fetch it again and run `odise models verify`."
    )


def first_line(error: Exception) -> str:
    """What a library's exception says, short enough for a message of ours."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def check_tensors(
    where: str,
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    *,
    ignored: Collection[str] = (),
) -> None:
    """Compare names and shapes, and name what differs.

    Args:
        where: file or folder, for the message.
        found: what was read.
        expected: what the module has; only shapes count.
        ignored: names of `found` that belong to training and may be there.

    Raises:
        CheckpointError: naming missing, unexpected and misshapen tensors.
    """
    refuse_misfits(
        where,
        missing=[name for name in expected if name not in found],
        unexpected=[name for name in found if name not in expected and name not in ignored],
        misshapen=[
            (name, tensor.shape, found[name].shape)
            for name, tensor in expected.items()
            if name in found and found[name].shape != tensor.shape
        ],
    )


def refuse_misfits(
    where: str,
    *,
    missing: Collection[str],
    unexpected: Collection[str],
    misshapen: Collection[tuple[str, Sequence[int], Sequence[int]]] = (),
) -> None:
    """Name the tensors that do not fit, if any.

    Args:
        where: file or folder, for the message.
        missing: names that the architecture has and the file has not.
        unexpected: names that the file has and the architecture has not.
        misshapen: (name, expected shape, found shape).

    Raises:
        CheckpointError: unless all three are empty.
    """
    shapes = [
        f"{name} (expected {list(expected)}, got {list(found)})"
        for name, expected, found in misshapen
    ]
    problems = [
        f"{len(names)} {kind}: {_enumerate(names)}"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", shapes),
        )
        if names
    ]
    if problems:
        raise CheckpointError(
            f"{where}: the tensors do not fit the architecture; {'; '.join(problems)}. "
            "Expected exactly the tensors of this model. "
            "Use weights of the same architecture and supervision (label or caption)."
        )


def load_exactly(module: nn.Module, where: str, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a module (also one on the meta device), every one and no other."""
    check_tensors(where, tensors, module.state_dict())
    floats = {name: x.float() if x.is_floating_point() else x for name, x in tensors.items()}
    module.load_state_dict(floats, strict=True, assign=True)


def _enumerate(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_MAX_NAMED])
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"
