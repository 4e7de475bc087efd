"""OpenVINO's intermediate representation (.xml with .bin): float32, bfloat16, and INT8 calibrated by NNCF."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepfake.backends.facts import (
    CHECKSUM,
    CHECKSUM_TO_COME,
    INT8,
    missing_library,
    with_checksum,
)
from deepfake.backends.formats.openvino import NAME, SECTION, WEIGHTS_HASH, WEIGHTS_SUFFIX, core, import_openvino
from deepfake.models.weight_files import file_hash
from deepfake.storage import atomic
from export.format_registry import export_format
from export.formats import onnx
from export.graph import ExportJob

_TO_COME = "weights-not-written-yet"


def check_installed() -> None:
    """Raises ExportError if a library is missing; the message says how to install it."""
    onnx.check_installed()
    import_openvino()
    try:
        import nncf  # noqa: F401
    except ImportError as error:
        raise missing_library(error) from error


@export_format(NAME, check_installed)
@contextlib.contextmanager
def written(path: Path, job: ExportJob) -> Iterator[Path]:
    """Yields the finished .xml under a temporary name, its .bin beside it; both get their own if the caller raises
    nothing.

    Raises:
        ExportError: a library is missing, or `onnx.build_model` cannot export the network.
    """
    check_installed()
    openvino = import_openvino()
    model = core().read_model(model=onnx.build_model(job).SerializeToString())
    if job.facts.precision == INT8:
        model = _quantized(model, job)
    for key, value in {**job.facts.to_strings(), WEIGHTS_HASH: _TO_COME, CHECKSUM: CHECKSUM_TO_COME}.items():
        model.set_rt_info(value, [SECTION, key])
    with atomic.atomic_file(path) as partial, atomic.atomic_file(path.with_suffix(WEIGHTS_SUFFIX)) as weights:
        assert partial.with_suffix(WEIGHTS_SUFFIX) == weights
        openvino.save_model(model, partial, compress_to_fp16=False)
        described = partial.read_bytes().replace(_TO_COME.encode(), file_hash(weights).encode())
        partial.write_bytes(with_checksum(described))
        yield partial


def _quantized(model: Any, job: ExportJob) -> Any:
    """The model with 8-bit weights and activations, their ranges seen on the crops."""
    import nncf

    nncf.set_log_level("ERROR")
    inputs = [batch.numpy() for batch in job.inputs()]
    # MIXED: activations of swish are not symmetric.
    return nncf.quantize(model, nncf.Dataset(inputs), preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs))
