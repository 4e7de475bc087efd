"""torchrun for the training commands: what it starts gets SIGTERM, saves and ends well, and so does the launcher.

torchrun itself would end with an error, a signal to processes that are just starting would be lost, and processes that
start again might wait for dead ones.
"""

from __future__ import annotations

import deepfake.parallel.idle_threads

import argparse
import os
import signal
import sys
import threading
import time

import psutil

EPILOG = """example:
  python training/pipelines/launch.py --standalone --nproc_per_node 4 --max_restarts 3 \\
      training/pipelines/train_classifier.py --distributed --resume auto --config configs/b7.json --data-dir DATA_ROOT

torchrun's options: torchrun --help
exit codes: those of the command; 130 interrupted"""

OTHER_SIGNALS = "SIGINT,SIGHUP,SIGQUIT"
NEWCOMERS_SECONDS = 0.5


def main() -> None:
    check_arguments(sys.argv[1:])
    from torch.distributed import run  # seconds, which --help does without
    from torch.distributed.elastic.multiprocessing.api import SignalException

    # What is started inherits this, and lets the signal through when it is ready for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=pass_on, daemon=True).start()
    # Else those that start again find what the dead ones left in the store they meet in, and wait for them.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    try:
        run.main(["--signals-to-handle", OTHER_SIGNALS, *sys.argv[1:]])
    except SignalException as error:
        sys.exit(128 + error.sigval)


def check_arguments(arguments: list[str]) -> None:
    """Answers a call for help, or without a command; everything else is torchrun's to judge."""
    parser = argparse.ArgumentParser(
        usage="launch.py [torchrun option ...] COMMAND [argument ...]",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if not arguments:
        parser.error("a command is missing")
    if arguments[0] in ("-h", "--help"):
        parser.parse_args(arguments)


def pass_on() -> None:
    """Waits for SIGTERM and hands it to the processes that train, and to those that are started in their place."""
    signal.sigwait([signal.SIGTERM])
    signaled: set[int] = set()
    while True:
        children = [child for child in psutil.Process().children() if child.pid not in signaled]
        if not children and not signaled:
            os._exit(0)  # nothing is running that could have something to save
        for child in children:
            child.send_signal(signal.SIGTERM)
            signaled.add(child.pid)
        time.sleep(NEWCOMERS_SECONDS)


if __name__ == "__main__":
    main()
