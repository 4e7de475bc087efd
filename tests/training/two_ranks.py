"""One of several processes that train WS-DAN on a small encoder; each saves what it ended with.

python -m torch.distributed.run --nproc_per_node 2 two_ranks.py CONFIG FACES OUT
"""

import deepfake.parallel.idle_threads

import sys
from pathlib import Path

import torch

from deepfake.models.networks import wsdan
from training.engine import fitting
from training.options import WSDANOptions
from training.tasks.wsdan import run_wsdan


def main() -> None:
    config, faces, out = map(Path, sys.argv[1:])
    torch.set_num_threads(1)
    wsdan.BACKBONE = "test_efficientnet"
    fit = fitting.fit

    def fit_and_save(trainer, *rest):
        fit(trainer, *rest)
        recipe = trainer.task
        ended = {"weights": recipe.network.state_dict(), "centres": recipe.centres.values, "steps": recipe.steps}
        torch.save(ended, out / f"rank_{trainer.ranks.rank}")

    fitting.fit = fit_and_save
    run_wsdan(WSDANOptions(config, faces, output_dir=out, logdir=out / "logs", device="cpu", distributed=True))


if __name__ == "__main__":
    main()
