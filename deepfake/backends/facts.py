"""What an exported file tells its user: the model spec, the checkpoint it was made from, how it computes.

Every format keeps these as strings under the same keys: ONNX in its metadata, OpenVINO in its run-time information,
TensorRT in a JSON file beside the engine, Triton in the parameters of a model's configuration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deepfake.checkpoints.spec import ModelSpec
from deepfake.media.images import Normalization
from deepfake.storage.json_files import parse_json

FLOAT32, BF16, FP16, INT8 = "float32", "bf16", "fp16", "int8"

BYTES = Normalization((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""What pictures in 0..1 are given to a file with the normalization folded in: they become pixel values in 0..255."""

CHECKSUM = "content_sha256"
"""Of a file that holds its own: with CHECKSUM_TO_COME in its place."""
CHECKSUM_TO_COME = "checksum-to-come".ljust(64, "-")

KEYS = ("model_spec", "checkpoint", "checkpoint_sha256", "normalization_folded", "precision")
_FLAGS = {"true": True, "false": False}


class ExportError(ValueError):
    """A network cannot be exported, or an exported file cannot be used; the message names the file and the cure."""


@dataclass(frozen=True)
class ExportFacts:
    """What must be known to use an exported file.

    Attributes:
        spec: the checkpoint's.
        checkpoint: the name of the checkpoint's file.
        sha256: of that file.
        folded: the file takes pixel values in 0..255 and normalizes them itself.
        precision: `FLOAT32`, `BF16`, `FP16` or `INT8`.
    """

    spec: ModelSpec
    checkpoint: str
    sha256: str
    folded: bool
    precision: str

    @property
    def normalization(self) -> Normalization:
        """What pictures in 0..1 go through before the file sees them."""
        return BYTES if self.folded else self.spec.normalization

    def to_strings(self) -> dict[str, str]:
        values = (json.dumps(self.spec.to_dict()), self.checkpoint, self.sha256, str(self.folded).lower())
        return dict(zip(KEYS, (*values, self.precision)))

    @staticmethod
    def from_strings(path: Path, content: Mapping[str, str]) -> ExportFacts:
        """Raises ExportError if `content` is not what `to_strings` gives."""
        missing = [key for key in KEYS if not isinstance(content.get(key), str)]
        if missing:
            raise ExportError(f"{path}: its metadata lacks {', '.join(missing)}; {again()}")
        try:
            spec = ModelSpec.from_dict(parse_json(content["model_spec"]))
            folded = _FLAGS[content["normalization_folded"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ExportError(f"{path}: its metadata is damaged ({error}); {again()}") from error
        return ExportFacts(spec, content["checkpoint"], content["checkpoint_sha256"], folded, content["precision"])


def with_checksum(data: bytes) -> bytes:
    """Return a file's content with its checksum in the one place where it has CHECKSUM_TO_COME."""
    place = CHECKSUM_TO_COME.encode()
    assert data.count(place) == 1
    return data.replace(place, _checksum(data, CHECKSUM_TO_COME).encode())


def check_content(path: Path, data: bytes, content: Mapping[str, str], name: str) -> None:
    """Compare a file with the checksum in its metadata; files of earlier versions have none.

    Args:
        path: names the file in the message.
        data: what it holds.
        content: its metadata.
        name: of the format.

    Raises:
        ExportError: the checksum differs.
    """
    if CHECKSUM in content and _checksum(data, content[CHECKSUM]) != content[CHECKSUM]:
        raise ExportError(f"{path}: damaged: its checksum differs; {again(name=name)}")


def _checksum(data: bytes, place: str) -> str:
    """The SHA-256 of a file's content, with CHECKSUM_TO_COME in the last place of `place`."""
    at = data.rfind(place.encode())
    view = memoryview(data)  # no copy: files have hundreds of megabytes
    digest = hashlib.sha256(view[: max(at, 0)])
    digest.update(CHECKSUM_TO_COME.encode())
    digest.update(view[at + len(place) :])
    return digest.hexdigest()


def again(
    checkpoint: str | Path = "CHECKPOINT", name: str = "onnx|openvino|tensorrt|triton", out: Path | None = None
) -> str:
    """The cure for most faults of an exported file."""
    return f"make it again: python -m export {checkpoint} --format {name} --out {out or 'DIR'}"


def missing_library(error: ImportError, cure: str = "python -m pip install -e '.[export]'") -> ExportError:
    """What to tell about a library that is not installed."""
    return ExportError(f"{error.name or error} is not installed; install it: {cure}")
