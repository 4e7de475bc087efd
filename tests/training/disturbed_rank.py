"""One of several processes that train; once, at a given step, one of them sends a signal to itself or its launcher.

launch.py ... disturbed_rank.py CONFIG DATA_ROOT OUT [SIGNAL self|launcher RANK EPOCH STEP]
"""

import deepfake.parallel.idle_threads

import os
import signal
import sys
from pathlib import Path

from training.pipelines.command import run_training


def disturb(out: Path, name: str, target: str, *place: str) -> None:
    """From now on a trainer's step sends the signal before it does anything, at that place and if nobody has yet."""
    from training.engine.trainer import Trainer

    plain = Trainer._step

    def step(self, batch):
        here = (self.ranks.rank, self.progress.epoch, self.progress.step % self.task.steps)
        sent = out / f"sent_{name}"
        if here == tuple(map(int, place)) and not sent.exists():
            sent.touch()
            os.kill(os.getpid() if target == "self" else os.getppid(), getattr(signal, name))
        return plain(self, batch)

    Trainer._step = step


def main() -> int:
    config, root, out = map(Path, sys.argv[1:4])

    def train() -> None:
        import torch

        from training.options import RunOptions
        from training.tasks.classifier import run_classifier

        torch.set_num_threads(1)
        if sys.argv[4:]:
            disturb(out, *sys.argv[4:])
        run_classifier(RunOptions(config, root, output_dir=out, logdir=out / "logs", device="cpu", distributed=True,
                       resume="auto", checkpoint_every=1))  # fmt: skip

    return run_training(train)


if __name__ == "__main__":
    sys.exit(main())
