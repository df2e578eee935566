"""What `--device`, `--precision`, `--batch-size` and `--max-memory` come to on a CPU."""

import pytest
import torch

from odise_cli.errors import UsageError
from odise_cli.placement import place

no_gpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="a GPU is here"
)


@no_gpu
def test_auto_is_fp32_one_by_one_on_the_cpu():
    placement = place("auto", "auto", None)
    assert placement.device == torch.device("cpu")
    assert placement.precision_name == "fp32"
    assert placement.batch_size == 1
    assert placement.notice == ""


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_what_is_asked_for_is_what_is_used(name):
    placement = place("cpu", name, 7)
    assert (placement.precision_name, placement.batch_size) == (name, 7)


@pytest.mark.parametrize("name", ["gpu", "tpu", "cuda:x", "cuda:-1", "", "cpu,cuda"])
def test_a_name_that_is_no_device(name):
    message = f"^--device: '{name}' is no device. Expected auto, cpu, cuda, cuda:N or mps."
    with pytest.raises(UsageError, match=message):
        place(name, "auto", None)


@pytest.mark.parametrize("name", ["cuda:99", "cpu:1", "meta", "xpu"])
def test_a_device_that_is_not_here(name):
    message = rf"^--device: {name} is not available here. Expected cpu.*\. Use --device auto\."
    with pytest.raises(UsageError, match=message):
        place(name, "auto", None)


@no_gpu
@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_gpu_that_is_not_here(name):
    message = rf"^--device: {name} is not available here. Expected cpu\. Use --device auto\."
    with pytest.raises(UsageError, match=message):
        place(name, "auto", None)


def test_a_memory_limit_on_a_cpu_is_said_to_do_nothing():
    placement = place("cpu", "auto", None, max_memory_bytes=2**33)
    assert placement.notice == "--max-memory has no effect on cpu: it limits CUDA devices."


def test_fp16_on_a_cpu_is_said_to_be_slow():
    slow = "--precision fp16 is many times slower on a CPU than fp32 and bf16."
    assert place("cpu", "fp16", None).notice == slow
    both = place("cpu", "fp16", None, max_memory_bytes=1).notice
    assert both.startswith("--max-memory has no effect on cpu")
    assert both.endswith(slow)
    assert [place("cpu", name, None).notice for name in ("auto", "fp32", "bf16")] == [""] * 3


def test_compiling_for_a_cpu_is_said_to_do_nothing():
    placement = place("cpu", "auto", None, compiles=True)
    assert not placement.compiles
    assert placement.notice == "--compile has no effect: cpu gains nothing from it."


@pytest.mark.gpu
def test_batches_fill_the_memory_that_may_be_taken():
    # 4 GiB an image, one image's worth kept free, at least one image, at most eight.
    sizes = [place("cuda", "auto", None, max_memory_bytes=n << 30).batch_size for n in (1, 13, 999)]
    total = torch.cuda.get_device_properties(0).total_memory >> 30
    assert sizes == [1, min(2, total // 4 - 1), min(8, total // 4 - 1)]
