"""Where and how a model runs: what `--device`, `--precision` and `--batch-size` come to here.

Asks torch what the machine has; knows no model.
"""

import importlib.util
from dataclasses import dataclass

import torch

from odise_cli.errors import UsageError

_GPU_BYTES_PER_IMAGE = 4 * 2**30
_MAX_AUTO_BATCH = 8
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where and how a model runs, nothing left open."""

    device: torch.device
    precision: torch.dtype
    """Of the frozen networks and of all matrix products; what was trained stays fp32."""
    batch_size: int
    """Images per batch."""
    max_memory_bytes: int | None = None
    """What may be taken of a CUDA device; None is all."""
    compiles: bool = False
    """Compile the diffusion model; its first passes take minutes then."""
    num_threads: int | None = None
    """Of a CPU, since results depend on it in their last bits; None leaves what torch has."""
    notice: str = ""
    """What the user should know of it; may be empty."""

    @property
    def precision_name(self) -> str:
        """`fp32`, `bf16` or `fp16`."""
        return next(name for name, dtype in _PRECISIONS.items() if dtype == self.precision)


def place(
    device_name: str,
    precision_name: str,
    batch_size: int | None,
    *,
    max_memory_bytes: int | None = None,
    compiles: bool = False,
) -> Placement:
    """Settle what `auto` leaves open.

    Args:
        device_name: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, `cuda:N` or `mps`.
        precision_name: `auto` (bf16 on a GPU that computes it, else fp32) or a name of one.
        batch_size: images per batch; None is 1 but on CUDA, where it depends on the memory.
        max_memory_bytes: what may be taken of a CUDA device; None is all.
        compiles: whether to compile the diffusion model where that can be done.

    Raises:
        UsageError: if there is no such device here.
    """
    device = _find_device(device_name)
    if precision_name != "auto":
        precision = _PRECISIONS[precision_name]
    elif device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        precision = torch.bfloat16
    else:
        precision = torch.float32
    if batch_size is None:
        batch_size = 1
        if device.type == "cuda":
            total = torch.cuda.get_device_properties(device).total_memory
            available = min(total, max_memory_bytes or total)
            batch_size = min(_MAX_AUTO_BATCH, max(1, available // _GPU_BYTES_PER_IMAGE - 1))
    notices = []
    if max_memory_bytes is not None and device.type != "cuda":
        notices.append(f"--max-memory has no effect on {device.type}: it limits CUDA devices.")
    if device.type == "cpu" and precision == torch.float16:
        notices.append("--precision fp16 is many times slower on a CPU than fp32 and bf16.")
    if compiles and (reason := _reason_not_to_compile(device)):
        compiles = False
        notices.append(f"--compile has no effect: {reason}.")
    return Placement(
        device=device,
        precision=precision,
        batch_size=batch_size,
        max_memory_bytes=max_memory_bytes,
        compiles=compiles,
        num_threads=torch.get_num_threads() if device.type == "cpu" else None,
        notice=" ".join(notices),
    )


def _reason_not_to_compile(device: torch.device) -> str:
    """Empty where torch.compile can make code that is worth it."""
    if device.type != "cuda":
        return f"{device.type} gains nothing from it"
    if importlib.util.find_spec("triton") is None:
        return "triton, which torch compiles with on CUDA, is not installed"
    return ""


def _find_device(name: str) -> torch.device:
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    available = [kind for kind, count in counts.items() if count]
    if name == "auto":
        return torch.device((available[1:] or available)[0])
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"--device: {name!r} is no device. Expected auto, cpu, cuda, cuda:N or mps. "
            "Use --device auto."
        ) from error
    if (device.index or 0) >= counts.get(device.type, 0):
        raise UsageError(
            f"--device: {name} is not available here. Expected {' or '.join(available)}. "
            "Use --device auto."
        )
    return device
