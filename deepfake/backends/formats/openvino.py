"""OpenVINO's intermediate representation (.xml with .bin), run on the processor."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepfake.backends.facts import (
    BF16,
    CHECKSUM,
    FLOAT32,
    INT8,
    KEYS,
    ExportError,
    ExportFacts,
    again,
    check_content,
    missing_library,
)
from deepfake.backends.network import Run
from deepfake.backends.registry import file_format
from deepfake.models.weight_files import file_hash
from deepfake.parallel.threads import share

NAME = "openvino"

SUFFIX = ".xml"

WEIGHTS_SUFFIX = ".bin"

PRECISIONS = (FLOAT32, BF16, INT8)

SECTION = "deepfake"
"""The part of the file's run-time information that is ours."""

WEIGHTS_HASH = "weights_sha256"
"""Of the .bin file: the two are replaced one after the other, and a pair that does not belong together would run."""

_COMPUTES_IN = {FLOAT32: "f32", BF16: "bf16", INT8: "f32"}
"""By default OpenVINO chooses by the processor. Of an INT8 file, what is not quantized stays in float32."""


@file_format(NAME, SUFFIX, PRECISIONS, "cpu")
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
    metadata = _metadata(model)
    facts = ExportFacts.from_strings(path, metadata)
    check_content(path, path.read_bytes(), metadata, NAME)
    if metadata.get(WEIGHTS_HASH) != file_hash(weights):
        raise ExportError(f"{weights}: does not belong to {path.name}, or is damaged; {again(name=NAME)}")
    if facts.precision not in PRECISIONS:
        raise ExportError(f"{path}: precision {facts.precision!r} unknown; expected one of {', '.join(PRECISIONS)}")
    callers, each = share(torch.get_num_threads())
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": _COMPUTES_IN[facts.precision],
            "INFERENCE_NUM_THREADS": callers * each,
            "NUM_STREAMS": callers,
        },
    )
    own = threading.local()  # a request computes one batch at a time, and each calling thread has one under way

    def run(batch: torch.Tensor) -> torch.Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return torch.from_numpy(np.array(own.request.infer([batch.cpu().numpy()])[0]))

    return run, facts


def _metadata(model: Any) -> dict[str, str]:
    metadata = {}
    for key in (*KEYS, WEIGHTS_HASH, CHECKSUM):
        if model.has_rt_info([SECTION, key]):
            metadata[key] = _as_written(model.get_rt_info([SECTION, key]))
    return metadata


def _as_written(value: Any) -> str:
    return value.astype(str) if hasattr(value, "astype") else str(value)
