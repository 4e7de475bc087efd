"""Where a network sees the fake: activation maps of its last feature map, and their colors.

The class activation maps are those of the `grad-cam` library. What is explained is the logit of fake, so that a map
shows what speaks for fake, in a real face too; each map is scaled to its own greatest value, so that colors compare
places of one picture, never pictures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from deepfake.checkpoints.spec import ModelSpec, fake_probability
from deepfake.models.networks.wsdan import WSDAN
from deepfake.prediction.face_scorer import FaceInput, ScoringError

ATTENTION = "attention"
"""WS-DAN's own maps, which need no gradient."""

METHODS = {
    "gradcam": "Grad-CAM: what speaks for fake",  # Selvaraju et al. 2017, arXiv 1610.02391
    "gradcam++": "Grad-CAM++: what speaks for fake",  # Chattopadhay et al. 2018, arXiv 1710.11063
    "hirescam": "HiResCAM: what speaks for fake",  # Draelos & Carin 2020, arXiv 2011.08891
    "eigencam": "Eigen-CAM: what the network sees most of",  # Muhammad & Yeasin 2020, arXiv 2008.00299
    ATTENTION: "attention: where the network looks",
}
"""Every method with what its maps show."""

STRENGTH = 0.65
"""Opacity of the color where a map is high."""
FULL = 0.5
"""From this value on a map has its full opacity; below, it fades away."""
_COLORS = cv2.COLORMAP_INFERNO

CamImage = Callable[..., np.ndarray]


def choose_method(network: nn.Module, name: str | None = None) -> str:
    """The method of that name; None for the usual one: `attention` for WS-DAN, `gradcam` for others.

    Raises:
        ValueError: unknown, or attention maps of a network that has none.
    """
    attends = isinstance(network, WSDAN)
    if name is None:
        return ATTENTION if attends else "gradcam"
    if name not in METHODS:
        raise ValueError(f"method {name!r} unknown; expected one of {', '.join(METHODS)}")
    if name == ATTENTION and not attends:
        others = ", ".join(method for method in METHODS if method != ATTENTION)
        raise ValueError(f"method {name!r}: only WS-DAN has attention maps of its own; choose one of {others}")
    return name


class ActivationMapper:
    """Activation maps of one network for the fake class, in batches, where the network's weights are.

    The network is as before after every call: weights, gradients' switches, evaluation mode.

    Args:
        network: in evaluation mode, as `spec` describes it.
        method: one of METHODS; None for the network's usual one (`choose_method`).

    Raises:
        ValueError: the method is unknown or not for this network, or the network's last feature map is not known.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec, method: str | None = None) -> None:
        self.network = network.to(memory_format=torch.channels_last)
        self.method = choose_method(network, method)
        if self.method != ATTENTION:
            _cam_type(self.method)  # loads the library: processes forked from here share it
        self._encoder = encoder_of(network, spec.architecture)
        self._output = spec.output
        self._input = FaceInput(network, spec.normalization, spec.input_size)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(n, s, s, 3) uint8 RGB -> (n, s, s) float32 maps in 0..1, 0 everywhere where nothing speaks for fake.

        Raises:
            ScoringError: the network computes something that is not a number.
        """
        return self.scored(images)[0]

    def scored(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The maps, and what the network says of the pictures: (n,) float32 probabilities of fake."""
        side = images.shape[1]
        maps, scores = [np.empty((0, side, side), np.float32)], [np.empty(0, np.float32)]
        for batch in self._input.batches(images):
            batch_maps, outputs = self._attention(batch) if self.method == ATTENTION else self._class_maps(batch)
            maps.append(np.stack([_resized(activation, side) for activation in batch_maps]))
            scores.append(fake_probability(outputs.detach(), self._output).cpu().numpy())
        found = np.concatenate(maps), np.concatenate(scores)
        if not all(np.isfinite(values).all() for values in found):
            raise ScoringError("the network gave a score or a map that is not a number")
        return found

    @torch.inference_mode()
    def _attention(self, batch: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
        attended = self.network(batch, attended=True)
        maps = attended.attention.mean(1)
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        # An even map has nothing to tell.
        scaled = torch.where(high > low, (maps - low) / (high - low), 0)
        return scaled.cpu().numpy(), attended.logits

    def _class_maps(self, batch: torch.Tensor) -> tuple[np.ndarray, torch.Tensor]:
        with torch.inference_mode(False), torch.enable_grad(), _frozen(self.network), _tapped(self._encoder) as tap:
            cam = _cam_type(self.method)(self.network, [tap])
            # Maps of the features' size: enlarged bilinearly, as the library does, each peak is a star.
            cam.get_target_width_height = lambda _: None
            # The only logit, or of two the second.
            maps = cam(batch, targets=[lambda logits: logits[-1]] * len(batch))
            return maps, cam.outputs


def overlay(image: np.ndarray, activation: np.ndarray, strength: float = STRENGTH) -> np.ndarray:
    """A picture with a map over it: (H, W, 3) uint8 RGB.

    Where the map is 0 the picture stays as it is; with growing values it loses its own colors to the map's, whose
    lightness grows evenly (inferno).

    Args:
        image: (H, W, 3) uint8 RGB.
        activation: (H, W) in 0..1.
        strength: opacity of the color where the map is 1, 0..1.
    """
    value = np.clip(activation, 0, 1).astype(np.float32)[..., None]
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = np.minimum(value / FULL, 1)
    plain = image + shown * (gray.astype(np.float32) - image)
    mixed = plain + strength * shown * (colors(value[..., 0]) - plain)
    return np.rint(mixed).astype(np.uint8)


def colors(activation: np.ndarray) -> np.ndarray:
    """(H, W) values in 0..1 -> their (H, W, 3) uint8 RGB colors."""
    return cv2.cvtColor(cv2.applyColorMap(np.rint(activation * 255).astype(np.uint8), _COLORS), cv2.COLOR_BGR2RGB)


def encoder_of(network: nn.Module, architecture: str = "") -> Any:
    """The part whose `forward_features` gives the last feature map before pooling: of every timm network it does.

    Second place's Xception is one itself, first place's classifiers and WS-DAN hold one.

    Raises:
        ValueError: no part of the network has it.
    """
    for part in network.modules():
        if callable(getattr(part, "forward_features", None)):
            return part
    raise ValueError(
        f"architecture {architecture or type(network).__name__!r}: its last feature map before pooling is not known: "
        "no part of it has timm's `forward_features`"
    )


class _Tap(nn.Module):
    """Hands the last feature map on, cut off from the encoder: only what follows is differentiated, which is little."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if features.ndim != 4:
            raise ValueError(f"features of shape {tuple(features.shape)} are no map; expected (n, channels, h, w)")
        if not torch.isfinite(features).all():
            raise ScoringError("the network's features are not numbers")
        return features.detach().requires_grad_()


@contextlib.contextmanager
def _tapped(encoder: Any) -> Iterator[_Tap]:
    """For its time, what `forward_features` gives goes through the tap."""
    tap, forward_features = _Tap(), encoder.forward_features

    def through_tap(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features = forward_features(x)
        return tap(features)

    encoder.forward_features = through_tap
    try:
        yield tap
    finally:
        del encoder.forward_features  # the class's own is visible again


@contextlib.contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """For its time, no weight collects a gradient."""
    trainable = [weight for weight in network.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)


@cache
def _cam_type(method: str) -> type:
    """The library's class of a method. The library takes seconds to import."""
    import pytorch_grad_cam

    class EigenCAM(pytorch_grad_cam.EigenCAM):
        """The library's, which leaves the sign of a map to chance and computes vectors that nobody needs."""

        def get_cam_image(self, input_tensor: Any, layer: Any, targets: Any, activations: np.ndarray, *_: Any) -> Any:
            return np.stack([_first_component(features) for features in activations])

    return {
        "gradcam": pytorch_grad_cam.GradCAM,
        "gradcam++": pytorch_grad_cam.GradCAMPlusPlus,
        "hirescam": pytorch_grad_cam.HiResCAM,
        "eigencam": EigenCAM,
    }[method]


def _first_component(features: np.ndarray) -> np.ndarray:
    """(channels, h, w) -> (h, w): each place's part of the first principal component.

    Its sign: what stands out is positive (Chung & Ying 2025, doi 10.3390/app15137562, equation 13).
    """
    flat = features.reshape(len(features), -1).T
    centered = flat - flat.mean(0)
    component = centered @ np.linalg.svd(centered, full_matrices=False)[2][0]
    if -component.min() > component.max():
        component = -component
    return component.reshape(features.shape[1:])


def _resized(activation: np.ndarray, side: int) -> np.ndarray:
    if activation.shape != (side, side):
        activation = cv2.resize(activation, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(activation, 0, 1).astype(np.float32)
