"""torchrun for the training commands: what it starts gets SIGTERM, saves and ends well, and so does the launcher.

    python training/pipelines/launch.py --standalone --nproc_per_node 4 --max_restarts 3 \\
        training/pipelines/train_classifier.py --distributed --resume auto ...

takes torchrun's options. torchrun itself would end with an error, and a signal to processes that are just starting
would be lost.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil
from torch.distributed import run

OTHER_SIGNALS = "SIGINT,SIGHUP,SIGQUIT"
NEWCOMERS_SECONDS = 0.5


def main() -> None:
    # What is started inherits this, and lets the signal through when it is ready for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=pass_on, daemon=True).start()
    run.main(["--signals-to-handle", OTHER_SIGNALS, *sys.argv[1:]])


def pass_on() -> None:
    """Waits for SIGTERM and hands it to the processes that train, and to those that are started in their place."""
    signal.sigwait([signal.SIGTERM])
    told: set[int] = set()
    while True:
        children = [child for child in psutil.Process().children() if child.pid not in told]
        if not children and not told:
            os._exit(0)  # nothing is running that could have something to save
        for child in children:
            child.send_signal(signal.SIGTERM)
            told.add(child.pid)
        time.sleep(NEWCOMERS_SECONDS)


if __name__ == "__main__":
    main()
