"""What the benchmarks share: the memory of a process with all its children, and what this machine is."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import psutil

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two looks at the memory. The kernel walks all pages for one, 12 ms a GB and process, and they are of
the time that is measured."""

TRAINING_STEPS = {"cuda": 30, "cpu": 6}
"""Steps of a turn of training, by the kind of device."""


def pauses() -> Iterator[float]:
    """Seconds between looks, without end: short ones at first, for what ends soon."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def tree_memory(pid: int) -> int:
    """Bytes of proportional set size (resident size where the system has none) of a process and its children."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            memory = process.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    except psutil.Error:  # a process ended between listing and asking
        pass
    return total


def processor() -> str:
    """The CPU's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text(encoding="utf-8").splitlines() if info.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
