"""Copies to a device and back; what only CUDA does is marked so."""

import time

import numpy as np
import pytest
import torch

from odise_cli.transfers import SideStream, Stopwatch, to_device, to_host


def test_on_a_cpu_nothing_is_copied():
    device = torch.device("cpu")
    tensor = torch.arange(6).view(2, 3)
    assert to_device(tensor, device).data_ptr() == tensor.data_ptr()
    array, others = to_host(tensor, tensor.T)
    assert array.ctypes.data == tensor.data_ptr()
    np.testing.assert_array_equal(others, [[0, 3], [1, 4], [2, 5]])


@pytest.mark.gpu
def test_what_went_to_a_gpu_comes_back():
    arrays = [np.random.default_rng(n).integers(0, 256, (n, 512, 512), np.uint8) for n in (1, 9)]
    device = torch.device("cuda", 0)
    back = to_host(*(to_device(torch.from_numpy(array), device) for array in arrays))
    for found, expected in zip(back, arrays, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_stopwatch_gives_each_stage_its_own_time():
    started = time.perf_counter()
    watch = Stopwatch(torch.device("cpu"))
    time.sleep(0.02)
    watch.mark("features")
    time.sleep(0.03)
    watch.resume()
    for stage in ("masks", "classify", "masks"):
        time.sleep(0.01)
        watch.mark(stage)
    found = watch.stage_ms()
    assert list(found) == ["features", "masks", "classify"]
    least = {"features": 20, "masks": 20, "classify": 10}
    assert all(least[stage] <= ms for stage, ms in found.items())
    # What passed before `resume` is nobody's.
    assert sum(found.values()) <= 1e3 * (time.perf_counter() - started) - 30


@pytest.mark.gpu
def test_what_is_computed_beside_another_stream_is_the_same():
    device = torch.device("cuda", 0)
    side, watch = SideStream(device), Stopwatch(device)
    a = torch.rand(2048, 2048, device=device)
    expected = (a @ a).sum(0)
    product = a
    for _ in range(50):
        product = a @ a
    watch.mark("main")
    with side.after(side.now()):
        watch.resume()
        found = product.sum(0)
        watch.mark("side")
    torch.testing.assert_close(found, expected)
    assert all(ms > 0 for ms in watch.stage_ms().values())
