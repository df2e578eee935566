"""Mapped weights leave the process and come back; what was written into stays."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from odise_cli.host_memory import give_back_memory, unchanged_weights

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs Linux's memory mappings and glibc"
)


@pytest.fixture
def weights(tmp_path: Path) -> Tensor:
    """Eight MiB of a mapped file: the numbers from 0."""
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.arange(2**21, dtype=torch.float32)}, path)
    return load_file(path)["w"]


def mapping_of(tensor: Tensor) -> tuple[int, int]:
    (found,) = (
        (start, length)
        for start, length in unchanged_weights()
        if start <= tensor.data_ptr() < start + length
    )
    return found


def resident_mib(kind: str) -> float:
    """`RssAnon`: the process's own memory; `RssFile`: pages of mapped files in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) / 1024


def test_mapped_weights_leave_and_return(weights: Tensor) -> None:
    expected = 2**21 * (2**21 - 1) / 2
    assert weights.double().sum().item() == expected
    assert mapping_of(weights)[1] >= 8 * 2**20
    before = resident_mib("RssFile")
    give_back_memory()
    assert before - resident_mib("RssFile") > 7
    assert weights.double().sum().item() == expected


def test_weights_that_were_written_into_are_kept(weights: Tensor) -> None:
    weights[7] = -1.0
    with pytest.raises(ValueError, match="not enough values"):
        mapping_of(weights)
    give_back_memory()
    assert weights[6:9].tolist() == [6.0, -1.0, 8.0]


FAULTS = """
import resource
import numpy as np
from odise_cli.host_memory import keep_freed_memory

def num_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 22, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = num_faults()
keep_freed_memory()
num_faults()
print(before, num_faults())
"""


def test_freed_memory_is_used_again():
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    mapped_anew, kept = map(int, found.stdout.split())
    # Twenty arrays of 1,024 pages; the kernel may hand out larger ones.
    assert kept < mapped_anew / 10


FAULTS_OF_A_THREAD = """
import resource
import sys
import threading
from odise_cli.cli.app import entry_point

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 27, np.uint8)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

sys.argv = ["odise", "--version"]
try:
    entry_point()
except SystemExit:
    import numpy as np
faults = []
for _ in range(2):
    thread = threading.Thread(target=count_faults)
    thread.start()
    thread.join()
print(faults[1])
"""


def test_freed_memory_is_used_again_by_a_thread_of_the_command_line():
    found = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_A_THREAD], capture_output=True, text=True
    )
    # Twenty arrays of 32,768 pages, or of 64 huge ones.
    assert int(found.stdout.split()[-1]) < 640


GIVEN_BACK = """
import numpy as np
from odise_cli.host_memory import give_back_memory, keep_freed_memory

def resident_mib():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

keep_freed_memory()
block = np.ones(64 * 2**20, np.uint8)
del block
kept = resident_mib()
give_back_memory()
print(kept - resident_mib())
"""


def test_freed_blocks_are_given_back() -> None:
    # In a process of its own: where much was freed before, the block need not be new memory.
    found = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True)
    assert float(found.stdout) > 60
