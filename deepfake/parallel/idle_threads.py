"""Makes idle OpenMP threads sleep. Every program imports this module before all others.

By default a thread that has finished its share of an operation spins for a few milliseconds, in case the next operation
comes soon. On a busy machine it takes the core from the thread that it waits for: training becomes twenty times slower
(EXPERIMENTS.md).

Unlike other modules this one acts when it is imported: OpenMP reads the variable once, when torch is loaded. Processes
started from here inherit it. A value that the user has set stays.
"""

from __future__ import annotations

import os

WAIT_POLICY = "OMP_WAIT_POLICY"
"""Part of the OpenMP standard: GNU's library, which torch carries on Linux, reads it, and so does LLVM's."""

os.environ.setdefault(WAIT_POLICY, "PASSIVE")
