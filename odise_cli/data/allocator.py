"""How the C library treats freed memory.

Knows glibc; does not know what the memory is for.
"""

import ctypes
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks instead of mapping and zeroing them every time.

    Other C libraries lack the call, and nothing changes there.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    libc.mallopt(_TOP_PAD, 1 << 28)
