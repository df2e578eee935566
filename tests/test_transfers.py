"""Copies to a device and back; what only CUDA does is marked so."""

import numpy as np
import pytest
import torch

from odise_cli.transfers import to_device, to_host


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
