"""Between main memory and a device: copies that the host does not wait for one by one.

CUDA copies beside what it computes only from and to pinned memory. On other devices these are
plain copies, and on a CPU none. Knows not what is copied.
"""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of main memory on a device; the host does not wait until it is there."""
    if device.type != "cuda":
        return tensor.to(device)
    # PyTorch keeps the pinned block until the copy is done, and then for the next one.
    return tensor.pin_memory().to(device, non_blocking=True)


def to_host(*tensors: Tensor) -> list[NDArray[Any]]:
    """Tensors of one device as arrays; the host waits once for all of them."""
    device = tensors[0].device
    if device.type != "cuda":
        return [tensor.cpu().numpy() for tensor in tensors]
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
    torch.cuda.current_stream(device).synchronize()
    return [copy.numpy() for copy in copies]
