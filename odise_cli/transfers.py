"""Between main memory and a device: copies, times and streams that the host does not wait for.

CUDA copies beside what it computes only from and to pinned memory. On other devices these are
plain copies, and on a CPU none. Knows not what is copied or computed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
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


class Stopwatch:
    """Milliseconds by stage as the device took them; the host does not wait for any of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Seconds on the host, or a CUDA event, which torch does not type.
        self._marks: list[tuple[str, Any]] = []
        self.resume()

    def resume(self) -> None:
        """What follows is measured; what came since the last mark belongs to no stage."""
        self.mark("")

    def mark(self, stage: str) -> None:
        """A stage ends here, in the current stream."""
        if self._device.type != "cuda":
            self._marks.append((stage, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append((stage, event))

    def stage_ms(self) -> dict[str, float]:
        """Milliseconds by stage, in order of appearance; the device is done with all of them."""
        found: dict[str, float] = {}
        for (_, before), (stage, after) in pairwise(self._marks):
            if not stage:
                continue
            is_host = isinstance(after, float)
            ms = 1e3 * (after - before) if is_host else before.elapsed_time(after)
            found[stage] = found.get(stage, 0.0) + ms
        return found


class SideStream:
    """A CUDA stream beside the main one, for short work that the host waits for.

    What is computed in it goes on while the main stream's queue is full of the next batch. On
    other devices there is one queue, and this does nothing.

    Source: CUDA semantics in PyTorch's notes (streams; tensors must outlive their use in another
    stream).
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # A higher priority, or a kernel would queue behind those that fill the device.
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]

    @contextmanager
    def after(self, ready: Any) -> Iterator[None]:
        """Compute here, behind an event of `now`; when the block ends, the device is done."""
        if self._stream is None:
            yield
            return
        self._stream.wait_event(ready)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            # Also after an error: what the block has read may be freed from here on.
            self._stream.synchronize()

    def now(self) -> Any:
        """An event behind all that the current stream was given so far; None but on CUDA."""
        if self._stream is None:
            return None
        return torch.cuda.current_stream(self._device).record_event()
