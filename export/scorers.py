"""Exported files in the place of checkpoints: found, opened, and scoring faces as torch's networks do."""

from __future__ import annotations

from pathlib import Path

from deepfake.face_scorer import FaceScorer
from deepfake.precision import FLOAT32
from deepfake.weight_files import file_hash
from export import onnx_format
from export.facts import ExportError, again
from export.formats import FORMATS
from export.network import ExportedNetwork


def exported_path(named: Path, backend: str) -> Path:
    """The exported file that is meant: NAME + suffix for a checkpoint's name, or the file named itself."""
    suffix = FORMATS[backend].SUFFIX
    return named if named.name.endswith(suffix) else named.with_name(named.name + suffix)


def checkpoint_path(named: Path, backend: str) -> Path:
    """Where the checkpoint of an exported file would lie: beside it."""
    return named.with_name(named.name.removesuffix(FORMATS[backend].SUFFIX))


def open_exported(named: Path, backend: str, device: str = "cpu") -> ExportedNetwork:
    """An exported file as a network.

    Args:
        named: the checkpoint's path, or the exported file itself.
        backend: a name in FORMATS.
        device: `cpu` or `cuda`.

    Raises:
        ExportError: missing, damaged, made from another checkpoint than the one that lies beside it, or its library is
            not installed.
    """
    path, checkpoint = exported_path(named, backend), checkpoint_path(named, backend)
    if not path.is_file():
        raise ExportError(
            f"{path}: no such file; make it: python -m export {checkpoint} --format {backend} --out {path.parent}"
        )
    run, facts = FORMATS[backend].open_file(path, device)
    if checkpoint.is_file() and file_hash(checkpoint) != facts.sha256:
        raise ExportError(
            f"{path}: was made from another checkpoint than {checkpoint}; {again(checkpoint, backend, path.parent)}"
        )
    place = device if backend == onnx_format.NAME else FORMATS[backend].PLACE  # it alone goes where it is told
    return ExportedNetwork(run, facts, place)


def make_scorer(network: ExportedNetwork) -> FaceScorer:
    """Scores pictures of faces with an exported file: (n, s, s, 3) uint8 RGB -> (n,) float32 probabilities of fake."""
    facts = network.facts
    return FaceScorer(network, facts.normalization, FLOAT32, facts.spec.output, facts.spec.input_size)
