"""TensorRT engines, run through torch's own memory: for the version and the kind of GPU that they were built with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from deepfake.backends.facts import BF16, FLOAT32, FP16, ExportError, ExportFacts, again, missing_library
from deepfake.backends.network import INPUT, OUTPUT, Run
from deepfake.backends.registry import file_format
from deepfake.models.weight_files import file_hash
from deepfake.storage.json_files import parse_json

NAME = "tensorrt"

SUFFIX = ".engine"

FACTS_SUFFIX = ".engine.json"

PRECISIONS = (FLOAT32, BF16, FP16)

ENGINE_HASH = "engine_sha256"

_INSTALL = "python -m pip install tensorrt (with an NVIDIA GPU; it comes from its maker's own index)"


@file_format(NAME, SUFFIX, PRECISIONS, "cuda")
def open_file(path: Path, device: str) -> tuple[Run, ExportFacts]:
    """An engine ready to run, and what it tells.

    Raises:
        ExportError: damaged, without its facts, for another version or GPU, or TensorRT or its GPU is missing.
    """
    trt = import_tensorrt()
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


def import_tensorrt() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise missing_library(error, _INSTALL) from error
    return tensorrt


def facts_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(SUFFIX) + FACTS_SUFFIX)


def _read_facts(path: Path) -> ExportFacts:
    file = facts_path(path)
    try:
        metadata = parse_json(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file}: cannot be read: {error.strerror}; {again(name=NAME)}") from error
    except ValueError as error:
        raise ExportError(f"{file}: damaged ({error}); {again(name=NAME)}") from error
    facts = ExportFacts.from_strings(file, metadata if isinstance(metadata, dict) else {})
    if metadata.get(ENGINE_HASH) != file_hash(path):
        raise ExportError(f"{path}: does not belong to {file.name}, or is damaged; {again(facts.checkpoint, NAME)}")
    return facts
