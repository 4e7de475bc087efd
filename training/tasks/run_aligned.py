"""Training runs of second place's networks: options and config -> aligned faces and recipe to fit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
from torch import nn

from deepfake.checkpoints.checkpoint import read_checkpoint
from deepfake.checkpoints.spec import OUTPUT_SOFTMAX, ModelSpec
from deepfake.datasets.aligned_faces import FACES_CSV, RECIPE_JSON, read_extraction, read_face_list
from deepfake.faces.recipes import AlignRecipe
from deepfake.models.networks.wsdan import WSDAN
from deepfake.models.weight_files import CheckpointError, load_state
from training.config import ConfigError, RecipeConfig, WSDANConfig, XceptionConfig, read_config
from training.datasets.face_sampling import check_faces
from training.engine.checkpointing import RunFiles
from training.engine.fitting import train
from training.options import AlignedOptions, WSDANOptions
from training.tasks.aligned import AlignedRecipe
from training.tasks.wsdan import WSDANRecipe
from training.tasks.xception import XceptionRecipe

XCEPTION_HEAD = "fc."
"""Begins the names of the weights of Xception that WS-DAN does not have."""
INITIAL, INITIALIZED = "xception", "wsdan_xception"
"""The network whose weights another one can start with, and that other one."""

log = logging.getLogger(__name__)


def run_xception(options: AlignedOptions) -> None:
    """Trains Xception as `options` say.

    Raises:
        ValueError: a config, face list, checkpoint or option that cannot be used.
        NonFiniteLoss: training diverged.
    """
    _run(options, read_config(options.config, XceptionConfig), XceptionRecipe)


def run_wsdan(options: WSDANOptions) -> None:
    """Trains WS-DAN as `options` say; raises as `run_xception`."""
    config = read_config(options.config, WSDANConfig)
    init = options.init
    if init is None:
        return _run(options, config, WSDANRecipe)
    if config.network != INITIALIZED:
        raise ConfigError(f"{options.config}: {config.network} cannot start from Xception's weights; leave --init out")
    return _run(options, config, WSDANRecipe, lambda network: initialize(cast(WSDAN, network), init))


def initialize(network: WSDAN, path: Path) -> None:
    """Copies a trained Xception's weights, but for its last layer, into the features of a WS-DAN.

    Raises:
        CheckpointError: not a checkpoint of an Xception.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.spec.architecture != INITIAL:
        raise CheckpointError(f"{path}: weights of {checkpoint.spec.architecture}; --init takes those of {INITIAL}")
    weights = {k: v for k, v in checkpoint.state_dict.items() if not k.startswith(XCEPTION_HEAD)}
    load_state(network.features, weights, path, f"the features of {INITIALIZED}")
    log.info("starting from the weights of %s", path)


def _run(
    options: AlignedOptions,
    config: RecipeConfig,
    make: Callable[..., AlignedRecipe],
    initialize: Callable[[nn.Module], None] | None = None,
) -> None:
    config = options.applied(config)
    faces = _read_faces(options)
    files = RunFiles.of(options.output_dir, options.prefix, config.network)

    def recipe(network: nn.Module, ranks: Any) -> AlignedRecipe:
        try:
            return make(network, config, faces, options.folder, ranks, options.seed, options.workers)
        except ConfigError as error:
            raise ConfigError(f"{options.config}: {error}") from error

    train(options, config, files, _spec(options, config), recipe, initialize=initialize)


def _read_faces(options: AlignedOptions) -> pd.DataFrame:
    path = options.face_list or options.folder / FACES_CSV
    faces = read_face_list(path)
    check_faces(faces, options.folder, str(path))
    return faces


def _spec(options: AlignedOptions, config: RecipeConfig) -> ModelSpec:
    extraction = read_extraction(options.folder)
    if extraction is None:
        file = options.folder / RECIPE_JSON
        log.warning("%s: not there; prediction will find and align faces as published", file)
    return ModelSpec(
        architecture=config.network,
        options=config.model_options,
        input_size=config.size,
        normalization=config.normalize,
        crop=AlignRecipe() if extraction is None else extraction.recipe,
        output=OUTPUT_SOFTMAX,
    )
