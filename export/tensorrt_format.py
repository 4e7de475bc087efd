"""TensorRT engines: built from the ONNX model where TensorRT and its GPU are, run through torch's own memory.

An engine works only with the version of TensorRT and on the kind of GPU that it was built with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from deepfake import atomic
from deepfake.face_scorer import SCORE_BATCH
from deepfake.mappings import parse_json
from deepfake.weight_files import file_hash
from export import onnx_format
from export.facts import BF16, FLOAT32, FP16, ExportError, ExportFacts, again, missing_library
from export.network import INPUT, OUTPUT, ExportJob, Run

NAME = "tensorrt"
SUFFIX = ".engine"
FACTS_SUFFIX = ".engine.json"
PRECISIONS = (FLOAT32, BF16, FP16)
PLACE = "cuda"

BATCHES = (1, 8, SCORE_BATCH["cuda"])
"""The optimisation profile: the smallest batch, the one to be fastest at, the largest."""

WORKSPACE_BYTES = 4 << 30
"""Memory that a layer may take for itself while the engine is built."""

_ENGINE = "engine_sha256"
_INSTALL = "python -m pip install tensorrt (with an NVIDIA GPU; it comes from its maker's own index)"
_FLAGS = {BF16: "BF16", FP16: "FP16"}


def check_installed() -> None:
    """Raises ExportError if TensorRT, its GPU or a library is missing; the message says what to install."""
    onnx_format.check_installed()
    _tensorrt()
    if not torch.cuda.is_available():
        raise ExportError("a TensorRT engine is built and run on an NVIDIA GPU, and torch sees none here")


@contextlib.contextmanager
def written(path: Path, job: ExportJob) -> Iterator[Path]:
    """Yields the finished engine under a temporary name, its facts beside it; both get their own if the caller raises
    nothing.

    Raises:
        ExportError: TensorRT or its GPU is missing, or it cannot build the network.
    """
    check_installed()
    engine = _build(onnx_format.build_model(job).SerializeToString(), job)
    with atomic.atomic_file(_facts_path(path)) as facts, atomic.atomic_file(path) as partial:
        partial.write_bytes(engine)
        told = {**job.facts.to_strings(), _ENGINE: file_hash(partial)}
        facts.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        yield partial


def open_file(path: Path, device: str) -> tuple[Run, ExportFacts]:
    """An engine ready to run, and what it tells.

    Raises:
        ExportError: damaged, without its facts, for another version or GPU, or TensorRT or its GPU is missing.
    """
    trt = _tensorrt()
    if device != "cuda":
        raise ExportError(f"{path}: TensorRT runs on an NVIDIA GPU only; use --device cuda where there is one")
    facts = _read_facts(path)
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise ExportError(
            f"{path}: made with another version of TensorRT or for another GPU, or damaged; "
            f"{again(facts.checkpoint, NAME)}"
        )
    context = engine.create_execution_context()

    def run(batch: torch.Tensor) -> torch.Tensor:
        batch = batch.float().contiguous()
        context.set_input_shape(INPUT, tuple(batch.shape))
        outputs = torch.empty(tuple(context.get_tensor_shape(OUTPUT)), device=batch.device)
        context.set_tensor_address(INPUT, batch.data_ptr())
        context.set_tensor_address(OUTPUT, outputs.data_ptr())
        if not context.execute_async_v3(torch.cuda.current_stream().cuda_stream):
            raise RuntimeError(f"{path}: TensorRT could not run a batch of {len(batch)}")
        return outputs

    return run, facts


def _tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise missing_library(error, _INSTALL) from error
    return tensorrt


def _build(model: bytes, job: ExportJob) -> bytes:
    trt = _tensorrt()
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
        config.clear_flag(trt.BuilderFlag.TF32)  # on unless told, and not float32
    size = job.facts.spec.input_size
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT, *((batch, 3, size, size) for batch in BATCHES))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(f"{job.facts.checkpoint}: TensorRT could not build an engine; it tells why above")
    return bytes(engine)


def _facts_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(SUFFIX) + FACTS_SUFFIX)


def _read_facts(path: Path) -> ExportFacts:
    file = _facts_path(path)
    try:
        told = parse_json(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file}: cannot be read: {error.strerror}; {again(name=NAME)}") from error
    except ValueError as error:
        raise ExportError(f"{file}: damaged ({error}); {again(name=NAME)}") from error
    facts = ExportFacts.from_strings(file, told if isinstance(told, dict) else {})
    if told.get(_ENGINE) != file_hash(path):
        raise ExportError(f"{path}: does not belong to {file.name}, or is damaged; {again(facts.checkpoint, NAME)}")
    return facts
