"""Opener, algorithm and metrics on one's own data samples, without Substra's machinery: to see that they work."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from deepfake.cli.commandline import positive_int
from deepfake.storage import atomic
from federated.options import add_recipe, local_settings, run_program

EXAMPLE = """example, with the samples of generate_data_samples.py:
  python federated/try_assets.py open    --data-samples samples/owner1/train
  python federated/try_assets.py train   --data-samples samples/owner1/train --config configs/tiny.json --model-out m.pt
  python federated/try_assets.py predict --data-samples samples/owner1/test --model m.pt --predictions p.csv
  python federated/try_assets.py score   --data-samples samples/owner1/test --predictions p.csv --out scores.json"""


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True)
    open_, train, predict, score = (
        steps.add_parser(name, help=meaning, description=meaning)
        for name, meaning in (
            ("open", "what the opener finds in the samples"),
            ("train", "rounds of federated averaging with a single owner"),
            ("predict", "scores of the samples' crops"),
            ("score", "metrics of such scores"),
        )
    )
    for step in (open_, train, predict, score):
        data = step.add_mutually_exclusive_group(required=True)
        data.add_argument("--data-samples", type=Path, nargs="+", metavar="FOLDER")
        data.add_argument("--fake-data", type=positive_int, metavar="N", help="N originals of noise and fakes of them")
        step.add_argument("--log-path", type=Path, metavar="FILE", help="the log also goes there")
    add_recipe(train)
    train.add_argument("--rounds", type=positive_int, default=1, metavar="N", help="(default: %(default)s)")
    train.add_argument("--model-out", type=Path, required=True, metavar="CKPT", help="the network to write")
    predict.add_argument("--model", type=Path, required=True, metavar="CKPT", help="what train wrote")
    predict.add_argument("--debug", action="store_true", help="the log tells each video's score, too")
    predict.add_argument("--predictions", type=Path, required=True, metavar="CSV", help="the scores to write")
    score.add_argument("--predictions", type=Path, required=True, metavar="CSV", help="what predict wrote")
    score.add_argument("--out", type=Path, metavar="JSON", help="the metrics to write")
    return parser.parse_args(arguments)


def main() -> int:
    args = parse_args()
    from federated.plan.plan import require_substra

    require_substra()
    _start_log(args.log_path, getattr(args, "debug", False))
    {"open": _open, "train": _train, "predict": _predict, "score": _score}[args.step](args)
    return 0


def _data(args: argparse.Namespace):
    from federated.owner.opener import FacesOpener

    opener = FacesOpener()
    return opener.fake_data(args.fake_data) if args.fake_data else opener.get_data([str(f) for f in args.data_samples])


def _open(args: argparse.Namespace) -> None:
    from federated.samples.samples import counts

    data = _data(args)
    meaning = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts(data.table).items())
    print(f"{data.owner}, to {data.kind} with: {meaning}")


def _train(args: argparse.Namespace) -> None:
    from federated.alone import train_alone
    from federated.owner.local_training import write_start

    data, settings = _data(args), local_settings(args, args.rounds)
    write_start(args.model_out, settings, data.detection, args.init, args.from_scratch)
    train_alone(settings, args.model_out, data, args.rounds)
    print(f"network after round {args.rounds}: {args.model_out}")


def _predict(args: argparse.Namespace) -> None:
    from federated.alone import algorithm_of
    from federated.owner.predictions import write_predictions

    predictions = algorithm_of(args.model).predict(_data(args))
    write_predictions(args.predictions, predictions)
    print(f"{len(predictions)} scores: {args.predictions}")


def _score(args: argparse.Namespace) -> None:
    from federated.owner.metrics import METRICS
    from federated.owner.predictions import read_predictions

    data, predictions = _data(args), read_predictions(args.predictions)
    values = {name: metric(data, predictions) for name, metric in METRICS.items()}
    if args.out:
        atomic.write_text(args.out, json.dumps(values, indent=4) + "\n")
    print("\n".join(f"{name:<9} {value:.5f}" for name, value in values.items()))


def _start_log(path: Path | None, debug: bool) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    form = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(format=form, level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("federated").setLevel(logging.DEBUG if debug else logging.INFO)


if __name__ == "__main__":
    sys.exit(run_program(main))
