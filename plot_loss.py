"""Draws the validation losses of a training log and lists the best epochs."""

from __future__ import annotations

import deepfake.parallel.idle_threads
from deepfake.parallel.interrupts import EXIT_INTERRUPTED, MESSAGE

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from deepfake.losslog import FAKE_WEIGHT, FIRST_CANDIDATE_EPOCH, EpochLoss, decode_log, parse_losses
from visualize.colors import FAKE, REAL

BEST_EPOCHS = 5
EXIT_USAGE = 2


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Draws the validation losses of a training log and lists the best epochs: those of the lowest "
        f"(fake weight * fake loss + real loss) / 2 from epoch {FIRST_CANDIDATE_EPOCH} on, or of all in a shorter run. "
        "Reads the published log format, too.",
        epilog="example:\n  python plot_loss.py --log-file logs/b7_111 --out b7_111.png",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--log-file", type=Path, required=True, metavar="F", help="what train.sh wrote to logs/")
    parser.add_argument(
        "--fake-weight", type=float, default=FAKE_WEIGHT, metavar="W", help="of the fakes' loss (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="F.png", help="the picture (default: beside the log)")
    return parser.parse_args(arguments)


def read_log(path: Path) -> list[EpochLoss]:
    """The finite losses in a log, by epoch. Raises ValueError if there are none."""
    try:
        lines = decode_log(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: no readable log: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    losses = [v for v in parse_losses(lines) if math.isfinite(v.fake) and math.isfinite(v.real)]
    if not losses:
        raise ValueError(f"{path}: no pair of lines 'fake_loss X' and 'real_loss Y' in it; is it a training log?")
    return losses


def best_epochs(losses: list[EpochLoss], fake_weight: float, count: int = BEST_EPOCHS) -> list[EpochLoss]:
    """The `count` lowest weighted losses, best first, among late epochs (among all if there are no late ones)."""
    late = [v for v in losses if v.epoch >= FIRST_CANDIDATE_EPOCH]
    return sorted(late or losses, key=lambda v: v.weighted(fake_weight))[:count]


def format_table(best: list[EpochLoss], fake_weight: float) -> str:
    rows = [f"{'epoch':>5}  {'weighted':>8}  {'fake':>8}  {'real':>8}"]
    rows += [f"{v.epoch:>5}  {v.weighted(fake_weight):>8.5f}  {v.fake:>8.5f}  {v.real:>8.5f}" for v in best]
    return "\n".join(rows)


def draw(losses: list[EpochLoss], best: list[EpochLoss], fake_weight: float, title: str, out: Path) -> None:
    """Writes the picture: weighted, fake and real loss by epoch, the best epochs marked and numbered."""
    # Takes a second to import; a Figure of its own needs no display.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.add_subplot()
    epochs = [v.epoch for v in losses]
    axes.plot(epochs, [v.fake for v in losses], color=FAKE, alpha=0.45, label="fake videos")
    axes.plot(epochs, [v.real for v in losses], color=REAL, alpha=0.45, label="real videos")
    weighted = [v.weighted(fake_weight) for v in losses]
    axes.plot(epochs, weighted, "o-", color="tab:blue", markersize=3, label=f"({fake_weight:g} fake + real) / 2")
    marks = [v.weighted(fake_weight) for v in best]
    axes.plot([v.epoch for v in best], marks, "*", color="black", markersize=11, label="best epochs")
    for rank, (v, height) in enumerate(zip(best, marks), start=1):
        axes.annotate(f"{v.epoch}", (v.epoch, height), (0, 8), textcoords="offset points", ha="center",
                      fontweight="bold" if rank == 1 else None)  # fmt: skip
    axes.set(xlabel="epoch", ylabel="log loss of validation videos", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=120)


def main() -> int:
    args = parse_args()
    out = args.out or args.log_file.with_name(f"{args.log_file.name}.png")
    try:
        losses = read_log(args.log_file)
        best = best_epochs(losses, args.fake_weight)
        draw(losses, best, args.fake_weight, args.log_file.name, out)
    except KeyboardInterrupt:
        print(MESSAGE, end="", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(f"best of {len(losses)} epochs:\n{format_table(best, args.fake_weight)}\npicture: {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
