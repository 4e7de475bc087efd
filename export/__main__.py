"""Writes checkpoints' networks for ONNX Runtime, OpenVINO, TensorRT or Triton, checked against torch on real faces."""

from __future__ import annotations

import deepfake.parallel.idle_threads
import deepfake.parallel.interrupts

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deepfake.cli.commandline import EXIT_INTERRUPTED, EXIT_USAGE, positive_float, positive_int, run_guarded
from deepfake.faces.detectors.base import ALIGNING
from deepfake.media.files import find_videos
from deepfake.parallel.allocator import keep_freed_memory
from deepfake.prediction.ensemble import Member, listed_ensembles, named_ensemble, weighted_members
from export.format_registry import FORMATS

if TYPE_CHECKING:
    from export.format_registry import Format
    from export.graph import ExportJob

TRITON = "triton"

FEW_CROPS = 32
"""Fewer say little about the range of a network's numbers."""

EPILOG = f"""The file is named after the checkpoint: NAME.onnx; NAME.xml and NAME.bin; NAME.engine and NAME.engine.json.
It carries the model spec, the checkpoint's SHA-256 and the precision, which predict_folder.py --backend reads. It takes
(n, 3, s, s) float32 pictures, n as you like, and gives logits. It is run against torch before it gets its name; a
difference over the tolerance is an error, and nothing is left.

triton: DIR is a model repository. Each checkpoint becomes the model NAME (config.pbtxt, and 1/ with model.onnx or
model.plan; for python model.py too) in the place of an older one. --name becomes the ensemble: pictures (n, 3, s, s)
in, score (n, 1) out, the weighted mean of the networks' probabilities of fake. Networks that take other pictures than
each other have an input each, pictures_NAME. A running server reads DIR when it is started again.

exit codes: 0: written and checked; {EXIT_USAGE}: cannot be exported, or differs; {EXIT_INTERRUPTED}: interrupted

examples:
  python -m export weights/MODEL_A --format onnx --out weights
  python -m export weights/MODEL_A --format openvino --precision int8 --crops VIDEOS --out weights
  python -m export weights/ckpt_x.pth --format onnx --fold-normalization --detector mtcnn --out exported
  python -m export weights/MODEL_A --format tensorrt --precision fp16 --out weights
  python -m export weights/MODEL_A weights/MODEL_B --weights 0.3 0.7 --format triton --out repository
  python -m export --ensemble first_place --format triton --triton-backend tensorrt --precision fp16 --out repository
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoints", nargs="*", type=Path, metavar="CKPT", help="a checkpoint of any family; triton: or several")
    add("--format", required=True, choices=[*FORMATS.names(), "triton"], help="what runs the file")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the file; triton: the model repository")
    add(
        "--precision",
        choices=["float32", "bf16", "fp16", "int8"],
        default="float32",
        help="onnx: float32; openvino: float32, bf16, int8; tensorrt: float32, bf16, fp16 (default: %(default)s)",
    )
    add(
        "--fold-normalization",
        action="store_true",
        help="the file takes pixel values in 0..255 and normalizes them itself",
    )
    add(
        "--crops",
        nargs="+",
        type=Path,
        default=[],
        metavar="PATH",
        help="folders, videos or pictures whose faces it is checked on, and INT8 calibrated (default: two portraits)",
    )
    add("--tolerance", type=positive_float, metavar="D", help="of probabilities (default: 0.001; not float32: 0.01)")
    add("--opset", type=positive_int, metavar="N", help="version of the ONNX operators (default: 18)")
    add("--detector", choices=list(ALIGNING), help="finds the faces of --crops for networks that see aligned ones")
    add(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="default: cuda for tensorrt, else cpu; triton: also where the server runs it, by default on its GPUs, or "
        "on its processor if it has none",
    )
    add_triton_options(parser)
    args = parser.parse_args()
    check_options(parser, args)
    return args


def add_triton_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group(TRITON).add_argument
    add(
        "--triton-backend",
        choices=["onnxruntime", "tensorrt", "python"],
        help="what runs the networks in the server: NVIDIA's images have the first two, a minimal server only python, "
        "which needs onnxruntime there (default: onnxruntime)",
    )
    add(
        "--ensemble",
        metavar="NAME",
        help=f"instead of CKPT: {', '.join(file.stem for file in listed_ensembles())} (configs/ensembles), or a file",
    )
    add("--weights-dir", type=Path, metavar="DIR", help="where the checkpoints of --ensemble lie (default: weights)")
    add("--weights", nargs="+", type=float, metavar="W", help="of the checkpoints in the score (default: all equal)")
    add("--name", help="of the ensemble in the repository (default: that of --ensemble, else ensemble)")
    add("--instances", type=positive_int, metavar="N", help="copies of each network on each device (default: 1)")


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Ends the command where options do not go together."""
    if args.format != TRITON:
        triton = ("triton_backend", "ensemble", "weights_dir", "weights", "name", "instances")
        for name in triton:
            if getattr(args, name) is not None:
                parser.error(f"--{name.replace('_', '-')} goes with --format triton")
        if len(args.checkpoints) != 1:
            parser.error("expected one checkpoint; several go with --format triton")
    elif bool(args.checkpoints) == (args.ensemble is not None):
        parser.error("expected checkpoints, or --ensemble")
    elif args.ensemble is not None and args.weights is not None:
        parser.error("--weights goes with checkpoints; an ensemble's file says its own")


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    files = find_files(args.crops)
    if args.format == TRITON:
        return export_repository(args, files)
    from export.checking import default_tolerance, export_checked  # torch takes seconds

    made = FORMATS[args.format]
    device = choose_place(args, made)
    (checkpoint,) = args.checkpoints
    job = make_job(args, checkpoint, files, device, args.fold_normalization)
    path = args.out / (checkpoint.name + made.file.suffix)
    agreement = export_checked(job, path, made, args.tolerance or default_tolerance(args.precision), device)
    print(f"{path}: {args.precision}; {agreement}")
    return 0


def export_repository(args: argparse.Namespace, files: Sequence[Path]) -> int:
    """Writes the models of all checkpoints, then their ensemble."""
    members, name = choose_members(args)
    from deepfake.checkpoints.checkpoint import read_checkpoint
    from export.checking import default_tolerance
    from export.triton import config as triton_config
    from export.triton.repository import Repository, Served, needs_folding

    triton_config.check_installed()
    backend = args.triton_backend or triton_config.ONNXRUNTIME
    repository = Repository(args.out, backend, args.device, args.instances or 1)
    device = choose_place(args, repository.made)
    folded = args.fold_normalization
    if not folded and len(members) > 1:
        folded = needs_folding([read_checkpoint(member.checkpoint).spec for member in members])
    served = []
    for member in members:
        job = make_job(args, member.checkpoint, files, device, folded)
        config, agreement = repository.write_network(job, args.tolerance or default_tolerance(args.precision), device)
        served.append(Served(config, job.facts, member.weight))
        print(f"{args.out / config.name}: {backend}, {args.precision}; {agreement}")
    config = repository.write_ensemble(name, served)
    inputs = ", ".join(f"{entry.name} {list(entry.dims)}" for entry in config.input)
    print(f"{args.out / name}: {inputs} -> score, the weighted mean of {len(served)}")
    return 0


def choose_members(args: argparse.Namespace) -> tuple[list[Member], str]:
    """The checkpoints of a repository with their weights, and the ensemble's name.

    Raises:
        ValueError: an ensemble or weights that make no sense, or two checkpoints of one name.
    """
    if args.ensemble is not None:
        members, name = named_ensemble(args.ensemble, args.weights_dir or Path("weights")), Path(args.ensemble).stem
    else:
        members, name = weighted_members(args.checkpoints, args.weights), "ensemble"
    names = [member.name for member in members]
    if len(set(names)) < len(names):
        raise ValueError(f"{', '.join(names)}: expected checkpoints of different names")
    return members, args.name or name


def choose_place(args: argparse.Namespace, made: Format) -> str:
    """Where the file is made and tried, `cpu` or `cuda`.

    Raises:
        ExportError: the format does not have the precision, or something is missing that it needs.
        ValueError: see `choose_device`.
    """
    from deepfake.backends.facts import ExportError
    from deepfake.models.precision import choose_device

    if args.precision not in made.file.precisions:
        raise ExportError(f"--precision {args.precision}: {made.file.name} has {', '.join(made.file.precisions)}")
    made.check_installed()
    return choose_device(made.file.device or "cpu" if args.device == "auto" else args.device)


def make_job(args: argparse.Namespace, checkpoint: Path, files: Sequence[Path], device: str, folded: bool) -> ExportJob:
    """What is to be exported, with the faces that it is checked on."""
    from deepfake.backends.facts import INT8, ExportFacts
    from deepfake.checkpoints.checkpoint import load_model
    from deepfake.models.weight_files import file_hash
    from export.formats.onnx import OPSET
    from export.graph import ExportJob
    from export.sample_faces import real_crops

    network, spec = load_model(checkpoint, device)
    crops = real_crops(spec, files, checkpoint.parent, ALIGNING.get(args.detector))
    if args.precision == INT8 and len(crops) < FEW_CROPS:
        print(f"INT8 calibrated on {len(crops)} faces only; name more with --crops", file=sys.stderr)
    facts = ExportFacts(spec, checkpoint.name, file_hash(checkpoint), folded, args.precision)
    return ExportJob(network, facts, crops, args.opset or OPSET)


def find_files(sources: Sequence[Path]) -> list[Path]:
    """The videos and pictures among files and in folders. Raises ValueError for a source without any."""
    files: list[Path] = []
    for source in sources:
        found = find_videos([source])
        left_out = found.left_out.summary()
        if not found.videos:
            raise ValueError(f"{source}: no video or picture in it{left_out and f' ({left_out})'}")
        if left_out:
            print(f"{source}: {left_out}", file=sys.stderr)
        files += found.videos
    return files


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
