import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from odise_cli.data.allocator import keep_freed_memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_freed_memory_is_used_again():
    found = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True)
    mapped_anew, kept = map(int, found.stdout.split())
    # Twenty arrays of 1,024 pages; the kernel may hand out larger ones.
    assert kept < mapped_anew / 10
