"""TensorRT engines: built from the ONNX model where TensorRT and its GPU are, run through torch's own memory.

An engine works only with the version of TensorRT and on the kind of GPU that it was built with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from deepfake.backends.facts import BF16, FP16, ExportError
from deepfake.backends.formats.tensorrt import ENGINE_HASH, NAME, facts_path, import_tensorrt
from deepfake.backends.network import INPUT
from deepfake.models.weight_files import file_hash
from deepfake.prediction.face_scorer import SCORE_BATCH
from deepfake.storage import atomic
from export.format_registry import export_format
from export.formats import onnx
from export.graph import ExportJob

BATCHES = (1, 8, SCORE_BATCH["cuda"])
"""The optimization profile: the smallest batch, the one to be fastest at, the largest."""

WORKSPACE_BYTES = 4 << 30
"""Memory that a layer may take for itself while the engine is built."""

_FLAGS = {BF16: "BF16", FP16: "FP16"}


def check_installed() -> None:
    """Raises ExportError if TensorRT, its GPU or a library is missing; the message says what to install."""
    onnx.check_installed()
    import_tensorrt()
    if not torch.cuda.is_available():
        raise ExportError("a TensorRT engine is built and run on an NVIDIA GPU, and torch sees none here")


@export_format(NAME, check_installed)
@contextlib.contextmanager
def written(path: Path, job: ExportJob) -> Iterator[Path]:
    """Yields the finished engine under a temporary name, its facts beside it; both get their own if the caller raises
    nothing.

    Raises:
        ExportError: TensorRT or its GPU is missing, or it cannot build the network.
    """
    check_installed()
    engine = _build(onnx.build_model(job).SerializeToString(), job)
    with atomic.atomic_file(facts_path(path)) as facts, atomic.atomic_file(path) as partial:
        partial.write_bytes(engine)
        metadata = {**job.facts.to_strings(), ENGINE_HASH: file_hash(partial)}
        facts.write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
        yield partial


def _build(model: bytes, job: ExportJob) -> bytes:
    trt = import_tensorrt()
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    if not parser.parse(model):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ExportError(f"{job.facts.checkpoint}: TensorRT cannot read its ONNX model: {reasons}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    if job.facts.precision in _FLAGS:
        flag = getattr(trt.BuilderFlag, _FLAGS[job.facts.precision], None)
        if flag is None:
            raise ExportError(f"TensorRT {trt.__version__} takes no precision; python -m pip install 'tensorrt<11'")
        config.set_flag(flag)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and not float32
    size = job.facts.spec.input_size
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *((batch, 3, size, size) for batch in BATCHES))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"{job.facts.checkpoint}: TensorRT could not build an engine; it tells why above")
    return bytes(engine)
