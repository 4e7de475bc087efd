"""OpenVINO's intermediate representation (.xml with .bin), run on the processor."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
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
from deepfake.models.inference.rectifiers import SLOPE
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


def import_openvino() -> Any:
    """Return the module `openvino`, without its telemetry: nothing that is done here is reported to anybody.

    As it is installed, its import and each conversion send the versions and the kind of use to Google Analytics, from a
    process forked by a thread, and write to the user's home.

    Raises:
        ExportError: it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as where it is not installed
    try:
        import openvino
    except ImportError as error:
        raise missing_library(error) from error
    return openvino


@functools.cache
def core() -> Any:
    """Return this process's `openvino.Core`, which nothing but its end ends.

    On processors with AMX a core gives the thread that compiles with it a stack for signals (sigaltstack). Cores that
    end in the order in which they began leave it with the address of one that is gone, and the next signal that Python
    handles, be it SIGCHLD, kills the process.

    Raises:
        ExportError: OpenVINO is not installed.
    """
    return import_openvino().Core()


@file_format(NAME, SUFFIX, PRECISIONS, "cpu")
def open_file(path: Path, device: str) -> tuple[Run, ExportFacts]:
    """A file ready to run on the processor, whatever the device, and what it tells.

    Raises:
        ExportError: damaged, without its metadata or its .bin, with another's, or OpenVINO is not installed.
    """
    reader = core()
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    for file in (path, weights):
        if not file.is_file():
            raise ExportError(f"{file}: no such file; {again(name=NAME)}")
    try:
        model = reader.read_model(path)
    except RuntimeError as error:
        raise ExportError(f"{path}: damaged, or no OpenVINO file; {again(name=NAME)}") from error
    metadata = _metadata(model)
    facts = ExportFacts.from_strings(path, metadata)
    check_content(path, path.read_bytes(), metadata, NAME)
    if metadata.get(WEIGHTS_HASH) != file_hash(weights):
        raise ExportError(f"{weights}: does not belong to {path.name}, or is damaged; {again(name=NAME)}")
    if facts.precision not in PRECISIONS:
        raise ExportError(f"{path}: precision {facts.precision!r} unknown; expected one of {', '.join(PRECISIONS)}")
    if facts.precision != INT8:  # quantized NaN is lost anyway
        keep_nan(model)
    return compile_for_cpu(model, facts.precision), facts


def compile_for_cpu(model: Any, precision: str) -> Run:
    """Return an `openvino.Model` ready to run in as many threads as torch uses here, each with its own batch.

    Raises:
        ExportError: it does not compute in `precision`.
    """
    if precision not in PRECISIONS:
        raise ExportError(f"precision {precision!r}: OpenVINO computes in one of {', '.join(PRECISIONS)}")
    callers, each = share(torch.get_num_threads())
    settings = {
        "INFERENCE_PRECISION_HINT": _COMPUTES_IN[precision],
        "INFERENCE_NUM_THREADS": callers * each,
        "NUM_STREAMS": callers,
    }
    compiled = core().compile_model(model, "CPU", settings)
    own = threading.local()  # a request computes one batch at a time, and each calling thread has one under way

    def run(batch: torch.Tensor) -> torch.Tensor:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return torch.from_numpy(np.array(own.request.infer([batch.cpu().numpy()])[0]))

    return run


def keep_nan(model: Any) -> None:
    """Have ReLU, max pooling and maxima put out NaN where they are given it, which OpenVINO's do not.

    A leaky ReLU of SLOPE (`deepfake.models.inference.rectifiers`) takes the place of ReLU; to the others, SLOPE times
    what they read is added, or its mean where that is pooled. Rounding absorbs it.
    """
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    slope, spatial = ops.constant(np.array([SLOPE], np.float32)), ops.constant(np.array([2, 3]))
    for operation in list(on_images(model)):
        name, read = operation.get_type_name(), operation.input_values()
        if name == "Relu":
            replace_node(operation, ops.prelu(read[0], slope))
        elif name in ("MaxPool", "Maximum"):
            readers = operation.output(0).get_target_inputs()
            carried = ops.reduce_mean(read[0], spatial, keep_dims=True) if name == "MaxPool" else ops.add(*read)
            kept = ops.add(operation.output(0), ops.multiply(carried, slope))
            for reader in readers:
                reader.replace_source_output(kept.output(0))


def on_images(model: Any) -> Iterator[Any]:
    """Yield the operations through which the values of images go; those that compute with shapes alone are not."""
    reached: set[str] = set()
    for operation in model.get_ordered_ops():
        sources = {value.get_node().get_friendly_name() for value in operation.input_values()}
        if operation.get_type_name() == "Parameter" or sources & reached:
            if operation.get_type_name() != "ShapeOf":
                reached.add(operation.get_friendly_name())
            yield operation


def _metadata(model: Any) -> dict[str, str]:
    metadata = {}
    for key in (*KEYS, WEIGHTS_HASH, CHECKSUM):
        if model.has_rt_info([SECTION, key]):
            metadata[key] = _as_written(model.get_rt_info([SECTION, key]))
    return metadata


def _as_written(value: Any) -> str:
    return value.astype(str) if hasattr(value, "astype") else str(value)
