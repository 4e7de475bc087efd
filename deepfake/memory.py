"""How a process keeps the memory that it has freed."""

from __future__ import annotations

import ctypes
import sys

# <malloc.h> of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER_TRIM = 2**31 - 1


def keep_freed_memory() -> bool:
    """Has the C library keep large freed blocks for the next ones, instead of giving each back to the kernel.

    A network on a CPU frees and takes hundreds of megabytes a batch. By default each block is mapped anew and every
    page of it faults again, which can cost more than the arithmetic (EXPERIMENTS.md). The process holds its peak until
    it ends.
    To be called before threads start; processes forked later inherit it.

    Returns:
        Whether the C library took it: GNU's does, others are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_ARENA_MAX, 1))
    return all(mallopt(name, value) == 1 for name, value in settings)
