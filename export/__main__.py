"""Writes a checkpoint's network for ONNX Runtime, OpenVINO or TensorRT, checked against torch on real faces."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deepfake.commandline import EXIT_INTERRUPTED, EXIT_USAGE, positive_float, positive_int, run_guarded
from deepfake.detectors.base import ALIGNING
from deepfake.memory import keep_freed_memory
from deepfake.paths import PICTURE_SUFFIXES, VIDEO_SUFFIXES

FEW_CROPS = 32
"""Fewer say little about the range of a network's numbers."""

EPILOG = f"""The file is named after the checkpoint: NAME.onnx; NAME.xml and NAME.bin; NAME.engine and NAME.engine.json.
It carries the model spec, the checkpoint's SHA-256 and the precision, which predict_folder.py --backend reads. It takes
(n, 3, s, s) float32 pictures, n as you like, and gives logits. It is run against torch before it gets its name; a
difference over the tolerance is an error, and nothing is left.

exit codes: 0: written and checked; {EXIT_USAGE}: cannot be exported, or differs; {EXIT_INTERRUPTED}: interrupted

examples:
  python -m export weights/MODEL_A --format onnx --out weights
  python -m export weights/MODEL_A --format openvino --precision int8 --crops VIDEOS --out weights
  python -m export weights/ckpt_x.pth --format onnx --fold-normalization --detector mtcnn --out exported
  python -m export weights/MODEL_A --format tensorrt --precision fp16 --out weights
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m export",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="CKPT", help="a checkpoint of any family")
    add("--format", required=True, choices=["onnx", "openvino", "tensorrt"], help="what runs the file")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the file")
    add(
        "--precision",
        choices=["float32", "bf16", "fp16", "int8"],
        default="float32",
        help="onnx: float32; openvino: float32, bf16, int8; tensorrt: float32, bf16, fp16 (default: %(default)s)",
    )
    add(
        "--fold-normalization",
        action="store_true",
        help="the file takes pixel values in 0..255 and normalises them itself",
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
    add("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: cuda for tensorrt, else cpu")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    keep_freed_memory()
    files = find_files(args.crops)
    from deepfake.checkpoints import file_hash, load_model  # torch takes seconds
    from deepfake.precision import choose_device
    from export.checking import default_tolerance, export_checked
    from export.crops import real_crops
    from export.facts import INT8, ExportError, ExportFacts
    from export.formats import FORMATS
    from export.network import ExportJob
    from export.onnx_format import OPSET

    made = FORMATS[args.format]
    if args.precision not in made.PRECISIONS:
        raise ExportError(f"--precision {args.precision}: {made.NAME} has {', '.join(made.PRECISIONS)}")
    made.check_installed()
    device = choose_device(made.PLACE if args.device == "auto" else args.device)
    network, spec = load_model(args.checkpoint, device)
    crops = real_crops(spec, files, args.checkpoint.parent, ALIGNING.get(args.detector))
    if args.precision == INT8 and len(crops) < FEW_CROPS:
        print(f"INT8 calibrated on {len(crops)} faces only; name more with --crops", file=sys.stderr)
    facts = ExportFacts(spec, args.checkpoint.name, file_hash(args.checkpoint), args.fold_normalization, args.precision)
    job = ExportJob(network, facts, crops, args.opset or OPSET)
    path = args.out / (args.checkpoint.name + made.SUFFIX)
    tolerance = args.tolerance or default_tolerance(args.precision)
    agreement = export_checked(job, path, made, tolerance, device)
    print(f"{path}: {args.precision}; {agreement}")
    return 0


def find_files(sources: Sequence[Path]) -> list[Path]:
    """The videos and pictures among files and in folders. Raises ValueError for a source without any."""
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise ValueError(f"{source}: no such file or folder")
        inside = sorted(p for p in source.rglob("*") if p.suffix.lower() in (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES))
        if source.is_dir() and not inside:
            raise ValueError(f"{source}: no video or picture in it")
        found += inside if source.is_dir() else [source]
    return found


if __name__ == "__main__":
    sys.exit(run_guarded(main, sys.stderr.write))
