"""How a process keeps the memory that it has freed, and gives it back."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

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
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _NEVER_TRIM), (_M_ARENA_MAX, 1))
    return all(mallopt(name, value) == 1 for name, value in settings)


def return_freed_memory() -> None:
    """Gives what is kept back to the kernel, once: before a fork, after which each page of it would be copied as soon
    as it is used again. Nothing happens where the C library is not GNU's."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """A function of the C library, None if it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
