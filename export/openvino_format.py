"""OpenVINO's intermediate representation (.xml with .bin): float32, bfloat16, and INT8 calibrated by NNCF."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepfake import atomic
from deepfake.lanes import share
from deepfake.weight_files import file_hash
from export import onnx_format
from export.facts import (
    BF16,
    CHECKSUM,
    CHECKSUM_TO_COME,
    FLOAT32,
    INT8,
    KEYS,
    ExportError,
    ExportFacts,
    again,
    check_content,
    missing_library,
    with_checksum,
)
from export.network import ExportJob, Run

NAME = "openvino"
SUFFIX = ".xml"
WEIGHTS_SUFFIX = ".bin"
PRECISIONS = (FLOAT32, BF16, INT8)
PLACE = "cpu"

_SECTION = "deepfake"
"""The part of the file's run-time information that is ours."""
_WEIGHTS = "weights_sha256"
"""Of the .bin file: the two are replaced one after the other, and a pair that does not belong together would run."""
_TO_COME = "weights-not-written-yet"

_COMPUTES_IN = {FLOAT32: "f32", BF16: "bf16", INT8: "f32"}
"""OpenVINO chooses by the processor unless told. Of an INT8 file, what is not quantised stays in float32."""


def check_installed() -> None:
    """Raises ExportError if a library is missing; the message says how to install it."""
    onnx_format.check_installed()
    try:
        import nncf  # noqa: F401
        import openvino  # noqa: F401
    except ImportError as error:
        raise missing_library(error) from error


@contextlib.contextmanager
def written(path: Path, job: ExportJob) -> Iterator[Path]:
    """Yields the finished .xml under a temporary name, its .bin beside it; both get their own if the caller raises
    nothing.

    Raises:
        ExportError: a library is missing, or `onnx_format.build_model` cannot export the network.
    """
    check_installed()
    import openvino

    model = openvino.Core().read_model(model=onnx_format.build_model(job).SerializeToString())
    if job.facts.precision == INT8:
        model = _quantized(model, job)
    for key, value in {**job.facts.to_strings(), _WEIGHTS: _TO_COME, CHECKSUM: CHECKSUM_TO_COME}.items():
        model.set_rt_info(value, [_SECTION, key])
    with atomic.atomic_file(path) as partial, atomic.atomic_file(path.with_suffix(WEIGHTS_SUFFIX)) as weights:
        assert partial.with_suffix(WEIGHTS_SUFFIX) == weights
        openvino.save_model(model, partial, compress_to_fp16=False)
        described = partial.read_bytes().replace(_TO_COME.encode(), file_hash(weights).encode())
        partial.write_bytes(with_checksum(described))
        yield partial


def open_file(path: Path, device: str) -> tuple[Run, ExportFacts]:
    """A file ready to run on the processor, whatever the device, and what it tells.

    Raises:
        ExportError: damaged, without its metadata or its .bin, with another's, or OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise missing_library(error) from error
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    for file in (path, weights):
        if not file.is_file():
            raise ExportError(f"{file}: no such file; {again(name=NAME)}")
    core = openvino.Core()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise ExportError(f"{path}: damaged, or no OpenVINO file; {again(name=NAME)}") from error
    told = _told(model)
    facts = ExportFacts.from_strings(path, told)
    check_content(path, path.read_bytes(), told, NAME)
    if told.get(_WEIGHTS) != file_hash(weights):
        raise ExportError(f"{weights}: does not belong to {path.name}, or is damaged; {again(name=NAME)}")
    if facts.precision not in PRECISIONS:
        raise ExportError(f"{path}: precision {facts.precision!r} unknown; expected one of {', '.join(PRECISIONS)}")
    lanes, threads = share(torch.get_num_threads())
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": _COMPUTES_IN[facts.precision],
            "INFERENCE_NUM_THREADS": lanes * threads,
            "NUM_STREAMS": lanes,
        },
    )
    own = threading.local()  # a request computes one batch at a time, and each lane has one under way

    def run(batch: torch.Tensor) -> torch.Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return torch.from_numpy(np.array(own.request.infer([batch.cpu().numpy()])[0]))

    return run, facts


def _quantized(model: Any, job: ExportJob) -> Any:
    """The model with 8-bit weights and activations, their ranges seen on the crops."""
    import nncf

    nncf.set_log_level("ERROR")
    inputs = [batch.numpy() for batch in job.inputs()]
    # MIXED: activations of swish are not symmetric.
    return nncf.quantize(model, nncf.Dataset(inputs), preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs))


def _told(model: Any) -> dict[str, str]:
    told = {}
    for key in (*KEYS, _WEIGHTS, CHECKSUM):
        if model.has_rt_info([_SECTION, key]):
            told[key] = _as_written(model.get_rt_info([_SECTION, key]))
    return told


def _as_written(value: Any) -> str:
    return value.astype(str) if hasattr(value, "astype") else str(value)
