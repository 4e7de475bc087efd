"""A model's configuration for a Triton server: `config.pbtxt`, which also holds its export facts.

A model repository holds one folder a model: `NAME/config.pbtxt` and `NAME/1/`, the folder of its only version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deepfake.backends.facts import ExportError, ExportFacts, missing_library
from deepfake.backends.network import INPUT, OUTPUT
from deepfake.backends.triton_models import ENSEMBLE, FILE_HASH, KIND, NETWORK, WEIGHTING, output_width
from deepfake.prediction.face_scorer import SCORE_BATCH

CONFIG = "config.pbtxt"
VERSION = "1"

ONNXRUNTIME, TENSORRT, PYTHON = "onnxruntime", "tensorrt", "python"
BACKENDS = (ONNXRUNTIME, TENSORRT, PYTHON)
"""What runs a model within Triton: the first two are in NVIDIA's images, the third in every server."""
MODEL_FILES = {ONNXRUNTIME: "model.onnx", TENSORRT: "model.plan", PYTHON: "model.onnx"}
"""The network's file in the version's folder; beside it, `PROGRAM` runs it where the backend is PYTHON."""
PROGRAM = "model.py"

SCORE = "score"
"""The weighted score of an ensemble, (n, 1) float32 in 0..1."""

WEIGHTS = "weights"

PLACES = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "cuda": "KIND_GPU"}
"""Where instances run; with KIND_AUTO on the server's GPUs, or on its processor if it has none."""

MAX_BATCH = {"KIND_CPU": 2 * SCORE_BATCH["cpu"], "KIND_GPU": SCORE_BATCH["cuda"], "KIND_AUTO": SCORE_BATCH["cuda"]}
"""Pictures that Triton puts together into one batch; also the most of one request."""
QUEUE_DELAY_MICROSECONDS = 5000
"""How long a request waits for others to share its batch; small beside a network's own time for a batch."""


def check_installed() -> None:
    """Raises ExportError if the client, which knows the config's form, is missing."""
    _messages()


def network_config(name: str, facts: ExportFacts, file_hash: str, backend: str, place: str, instances: int) -> Any:
    """The config (`ModelConfig`) of one network: pictures in, logits out.

    Args:
        name: the model's.
        facts: of the network's file.
        file_hash: that file's SHA-256.
        backend: one of BACKENDS.
        place: a value of PLACES.
        instances: copies of the network on each device.
    """
    parameters = {KIND: NETWORK, **facts.to_strings(), FILE_HASH: file_hash}
    config = _served(name, backend, place, instances, parameters)
    size = facts.spec.input_size
    _add(config.input, INPUT, [3, size, size])
    _add(config.output, OUTPUT, [output_width(facts.spec)])
    half, most = config.max_batch_size // 2, config.max_batch_size
    config.dynamic_batching.preferred_batch_size.extend([half, most])
    config.dynamic_batching.max_queue_delay_microseconds = QUEUE_DELAY_MICROSECONDS
    _warm_up(config, [1, most])
    return config


def weighting_config(name: str, logits: Mapping[str, int], backend: str, file_hash: str) -> Any:
    """The config of the graph that makes one score of several networks' logits.

    Args:
        name: the model's.
        logits: its inputs with their widths.
        backend: ONNXRUNTIME or PYTHON.
        file_hash: SHA-256 of its file.
    """
    config = _served(name, backend, PLACES["cpu"], 1, {KIND: WEIGHTING, FILE_HASH: file_hash})
    config.max_batch_size = MAX_BATCH["KIND_GPU"]
    for key, width in logits.items():
        _add(config.input, key, [width])
    _add(config.output, SCORE, [1])
    config.dynamic_batching.SetInParent()
    _warm_up(config, [1])
    return config


def ensemble_config(
    name: str, steps: Sequence[tuple[Any, Mapping[str, str], Mapping[str, str]]], parameters: Mapping[str, str]
) -> Any:
    """The config of a model that wires others together.

    Args:
        name: the model's.
        steps: config, input -> tensor, output -> tensor of each; tensors that no step puts out are the inputs.
        parameters: by name.
    """
    messages = _messages()
    config = messages.ModelConfig(name=name, platform="ensemble")
    config.max_batch_size = min(step.max_batch_size for step, _, _ in steps)
    _tell(config, {KIND: ENSEMBLE, **parameters})
    made = {tensor for _, _, outputs in steps for tensor in outputs.values()}
    for step, inputs, outputs in steps:
        wired = config.ensemble_scheduling.step.add(model_name=step.name, model_version=-1)
        wired.input_map.update(inputs)
        wired.output_map.update(outputs)
        dims = {entry.name: list(entry.dims) for entry in step.input}
        for key, tensor in inputs.items():
            if tensor not in made and tensor not in {entry.name for entry in config.input}:
                _add(config.input, tensor, dims[key])
    _add(config.output, SCORE, [1])
    return config


def to_text(config: Any) -> str:
    """The config as `config.pbtxt` holds it."""
    from google.protobuf import text_format

    return text_format.MessageToString(config)


def read_config(file: Path) -> Any:
    """A `config.pbtxt`.

    Raises:
        ExportError: it cannot be read, or is no config.
    """
    from google.protobuf import text_format

    config = _messages().ModelConfig()
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), config)
    except OSError as error:
        raise ExportError(f"{file}: cannot be read: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ExportError(f"{file}: no configuration of a Triton model ({error})") from error


def _messages() -> Any:
    try:
        from tritonclient.grpc import model_config_pb2
    except ImportError as error:
        raise missing_library(error, "python -m pip install -e '.[export,triton]'") from error
    return model_config_pb2


def _served(name: str, backend: str, place: str, instances: int, parameters: Mapping[str, str]) -> Any:
    messages = _messages()
    config = messages.ModelConfig(name=name, backend=backend, max_batch_size=MAX_BATCH[place])
    config.default_model_filename = PROGRAM if backend == PYTHON else MODEL_FILES[backend]
    config.instance_group.add(kind=messages.ModelInstanceGroup.Kind.Value(place), count=instances)
    _tell(config, parameters)
    return config


def _tell(config: Any, parameters: Mapping[str, str]) -> None:
    for key, value in parameters.items():
        config.parameters[key].string_value = value


def _add(tensors: Any, name: str, dims: Sequence[int]) -> None:
    tensors.add(name=name, data_type=_messages().TYPE_FP32, dims=dims)


def _warm_up(config: Any, batches: Sequence[int]) -> None:
    """The first requests are slow: the server sends itself some before it calls the model ready."""
    for batch in dict.fromkeys(batches):
        sample = config.model_warmup.add(name=f"random pictures, {batch} at a time", batch_size=batch)
        for entry in config.input:
            made = sample.inputs[entry.name]
            made.data_type, made.random_data = entry.data_type, True
            made.dims.extend(entry.dims)
