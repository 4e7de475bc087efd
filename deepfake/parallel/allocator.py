"""How a process keeps the memory that it has freed, gives it back, and is held to a limit."""

from __future__ import annotations

import ctypes
import errno
import resource
import sys
from pathlib import Path
from typing import Any

# <malloc.h> of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_NEVER_TRIM = 2**31 - 1
_MANY_BLOCKS = 1 << 16
_LARGE_BLOCK = 1 << 25
"""Bytes, the most that the C library takes as a threshold: more than a 4K frame has, less than an 8K frame."""


def keep_freed_memory() -> bool:
    """Let the C library keep large freed blocks for the next ones, instead of giving each back to the kernel.

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
    """Give what is kept back to the kernel, once: before a fork, after which each page of it would be copied as soon
    as it is used again. Nothing happens where the C library is not GNU's."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def limit_growth(most: int) -> None:
    """Let this process allocate at most that many bytes beyond what it has; allocations that fail raise.

    On Linux from 4.7 on, whose RLIMIT_DATA counts mapped blocks too; elsewhere nothing happens, and the limit of pixels
    alone bounds memory. Sandboxed kernels may ignore it. Shared memory does not count: no decoder takes any.
    Freed blocks of 32 MB and more are given back at once from now on: kept for the next one that fits, they would
    count.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = _function("mallopt")
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_MMAP_MAX, _MANY_BLOCKS)
    with Path("/proc/self/statm").open() as file:
        data = int(file.read().split()[5]) * resource.getpagesize()  # and stacks: what the limit counts
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = data + most
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or what caused it, says that memory ran out: Python's, OpenCV's, torch's or FFmpeg's."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        text = str(error).lower()
        if "insufficient memory" in text or "allocate memory" in text:
            return True
        error = error.__cause__ or error.__context__
    return False


def _function(name: str) -> Any:
    """Return a function of the C library, None if it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
