"""Networks of checkpoints as OpenVINO runs them on x86 processors: converted in this process, without a file."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import platform
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from deepfake.backends.facts import ExportError
from deepfake.backends.formats.openvino import compile_for_cpu, import_openvino, keep_nan, on_images
from deepfake.backends.network import RunNetwork

KEEP_NAN = {
    *("Parameter", "Result", "Constant", "Convert", "ShapeOf"),
    *("Convolution", "GroupConvolution", "MatMul", "Einsum", "Add", "Subtract", "Multiply", "Divide"),
    *("Swish", "Sigmoid", "PRelu", "HSwish", "Gelu", "Tanh", "Softmax", "Elu", "Abs", "Sqrt", "Sign"),
    *("ReduceMean", "AvgPool", "MVN", "ReduceL2"),
    *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Pad", "Split", "VariadicSplit"),
    *("MaxPool", "Maximum"),
}
"""Operations that put out NaN where they are given NaN, by OpenVINO's names, the last ones because of `keep_nan`.
Others, such as Clamp (ReLU6), do not, or are untested: a network with one could give a score that nothing supports."""


class CannotConvert(ExportError):
    """OpenVINO cannot run a network as torch does; the message says why."""


def can_convert_here() -> bool:
    """Return whether OpenVINO is installed, on a processor for which it was measured and its NaN were looked at."""
    return platform.machine() in ("x86_64", "AMD64") and importlib.util.find_spec("openvino") is not None


def convert(network: nn.Module, input_size: int) -> Any:
    """Return the `openvino.Model` of a network on the CPU; the two share weights, and the network stays as it is.

    Args:
        network: in evaluation mode, (n, 3, input_size, input_size) float32 -> (n, 1) or (n, 2).

    Raises:
        ExportError: OpenVINO is not installed.
        CannotConvert: the network has an operation that OpenVINO does not know, or in which it may lose NaN.
    """
    openvino = import_openvino()
    from openvino.frontend import GeneralFailure, OpConversionFailure

    shape = (3, input_size, input_size)
    example = torch.zeros(1, *shape)
    try:
        with torch.no_grad(), _log_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its tracing outdated; OpenVINO takes a third longer without
            traced = torch.jit.trace(network, example, check_trace=False)
            model = openvino.convert_model(traced, example_input=example, input=[(-1, *shape)])
    except (RuntimeError, GeneralFailure, OpConversionFailure) as error:
        raise CannotConvert(f"OpenVINO cannot convert it ({str(error).strip().splitlines()[0][:200]})") from error
    keep_nan(model)
    if losing := {operation.get_type_name() for operation in on_images(model)} - KEEP_NAN:
        raise CannotConvert(f"OpenVINO may lose numbers that are not finite in {', '.join(sorted(losing))}")
    return model


@contextlib.contextmanager
def _log_kept() -> Iterator[None]:
    """Leave the root logger as it is: OpenVINO's conversion lets it pass errors alone from then on."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def converted_network(model: Any, precision: str) -> RunNetwork:
    """Return a converted network that computes in `precision`, in the place of torch's.

    Raises:
        ExportError: OpenVINO does not compute in `precision`.
    """
    return RunNetwork(compile_for_cpu(model, precision))
