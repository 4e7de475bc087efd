"""ONNX files: written by torch's exporter, run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from deepfake.backends.facts import (
    CHECKSUM,
    CHECKSUM_TO_COME,
    INT8,
    ExportError,
    missing_library,
    with_checksum,
)
from deepfake.backends.formats.onnx import NAME
from deepfake.backends.network import INPUT, OUTPUT
from deepfake.models.inference.rectifiers import SLOPE
from deepfake.storage import atomic
from export.format_registry import export_format
from export.graph import ExportedGraph, ExportJob

OPSET = 18
"""The version of the operators that torch's exporter writes natively; others are converted."""

EXAMPLE_BATCH = 2
"""The exporter would take a batch of one for a constant."""


def check_installed() -> None:
    """Raises ExportError if a library is missing; the message says how to install it."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing_library(error) from error


def build_model(job: ExportJob) -> Any:
    """The ONNX model (`onnx.ModelProto`) of a network, its batch size open, with the facts in its metadata.

    Raises:
        ExportError: a library is missing, or the operators' version is one that the exporter does not know.
    """
    check_installed()
    spec = job.facts.spec
    device = next(job.network.parameters()).device
    graph = ExportedGraph(job.network, spec.normalization if job.facts.folded else None).to(device).eval()
    example = torch.zeros(EXAMPLE_BATCH, 3, spec.input_size, spec.input_size, device=device)
    try:
        with _quiet():
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=job.opset,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, torch.onnx.errors.UnsupportedOperatorError) as error:
        raise ExportError(f"{job.facts.checkpoint}: torch cannot export it to ONNX: {error}") from error
    assert program is not None
    model = program.model_proto
    _check_opset(model, job.opset)
    _forget_sources(model)
    if job.facts.precision != INT8:  # quantizing NaN loses it anyway, and expects that ReLUs give no negative numbers
        _replace_rectifiers(model)
    for key, value in job.facts.to_strings().items():
        model.metadata_props.add(key=key, value=value)
    return model


@export_format(NAME, check_installed)
@contextlib.contextmanager
def written(path: Path, job: ExportJob) -> Iterator[Path]:
    """Yields the finished file under a temporary name; it gets its own if the caller raises nothing.

    Raises:
        ExportError: see `build_model`.
    """
    model = build_model(job)
    model.metadata_props.add(key=CHECKSUM, value=CHECKSUM_TO_COME)
    data = with_checksum(model.SerializeToString())
    with atomic.atomic_file(path) as partial:
        partial.write_bytes(data)
        yield partial


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks on its own passes are of no use to a user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _check_opset(model: Any, opset: int) -> None:
    """The exporter only warns where it cannot convert."""
    written = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise ExportError(f"--opset {opset}: the exporter could only write {written}; leave it at {OPSET}")


def _replace_rectifiers(model: Any) -> None:
    """Makes every ReLU a leaky one of SLOPE: see `deepfake.models.inference.rectifiers`."""
    from onnx import helper

    for node in model.graph.node:
        if node.op_type == "Relu" and node.domain in ("", "ai.onnx"):
            node.op_type = "LeakyRelu"
            node.attribute.append(helper.make_attribute("alpha", SLOPE))


def _forget_sources(model: Any) -> None:
    """Removes what the exporter notes about source files: paths of this computer, and half of a small file."""
    for item in (model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        del item.metadata_props[:]
    for item in (*model.graph.initializer, *(node for function in model.functions for node in function.node)):
        del item.metadata_props[:]
