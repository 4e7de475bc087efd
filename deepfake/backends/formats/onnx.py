"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import torch

from deepfake.backends.facts import (
    FLOAT32,
    ExportError,
    ExportFacts,
    again,
    check_content,
    missing_library,
)
from deepfake.backends.network import INPUT, OUTPUT, Run
from deepfake.backends.registry import file_format
from deepfake.parallel.threads import share

NAME = "onnx"

SUFFIX = ".onnx"
PRECISIONS = (FLOAT32,)

_CUDA = "CUDAExecutionProvider"

_CPU = "CPUExecutionProvider"


@file_format(NAME, SUFFIX, PRECISIONS)
def open_file(path: Path, device: str) -> tuple[Run, ExportFacts]:
    """A file ready to run on `cpu` or `cuda`, and what it tells.

    Raises:
        ExportError: damaged, without its metadata, ONNX Runtime is not installed, or cannot use the device.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_library(error) from error
    if device == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise ExportError(
            "this ONNX Runtime knows no CUDA; use --device cpu, or: python -m pip install onnxruntime-gpu (instead of "
            "onnxruntime)"
        )
    options = onnxruntime.SessionOptions()
    callers, each = share(torch.get_num_threads())
    options.intra_op_num_threads = 1 if each == 1 else callers * each  # the calling thread's own, or shared by all
    try:
        data = path.read_bytes()
        session = onnxruntime.InferenceSession(data, options, providers=[_CUDA, _CPU] if device == "cuda" else [_CPU])
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # ONNX Runtime's errors share no other type
        raise ExportError(f"{path}: damaged, or no ONNX file ({_first_line(error)}); {again(name=NAME)}") from error
    metadata = session.get_modelmeta().custom_metadata_map
    facts = ExportFacts.from_strings(path, metadata)
    check_content(path, data, metadata, NAME)

    def run(batch: torch.Tensor) -> torch.Tensor:
        (outputs,) = session.run([OUTPUT], {INPUT: batch.cpu().numpy()})
        return torch.from_numpy(outputs)

    return run, facts


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
