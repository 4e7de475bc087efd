"""Brings a still portrait to life: a head that turns and nods, a hand-held camera, changing light, sensor noise.

A picture-based warp, not a renderer: the head is a smooth bump of depth over the picture's plane, so that a small turn
moves the nose more than the cheeks. For samples and tests; nobody is meant to be deceived.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

HEAD_RADII = (1.05, 1.5)
"""Half width and half height of the head, hair included, in distances from the eyes' line to the mouth's, and the
head's center is the nose."""

HEAD_DEPTH = 1.1
"""The nose's height over the picture's plane in the same unit."""

SLOWEST, FASTEST = 0.15, 0.6
"""Oscillations a second of head, camera and light."""


@dataclass(frozen=True)
class Portrait:
    """A picture, (H, W, 3) uint8 RGB, with the (5, 2) landmarks of its one face in pixels."""

    image: np.ndarray
    landmarks: np.ndarray

    @property
    def unit(self) -> float:
        """Distance from the middle of the eyes to the middle of the mouth, in pixels: the head's measure."""
        return float(np.hypot(*(self.landmarks[3:].mean(0) - self.landmarks[:2].mean(0))))


@dataclass(frozen=True)
class Strength:
    """Amplitudes of the motion. Angles in radians, shifts in head units, the others relative."""

    yaw: float = 0.30
    pitch: float = 0.20
    roll: float = 0.10
    sway: float = 0.12
    pan: float = 0.20
    zoom: float = 0.08
    light: float = 0.12
    noise: float = 2.0
    """Standard deviation of the sensor's noise in gray levels."""


def animate(
    portrait: Portrait, frames: int, fps: float, size: int, view: float, seed: int, strength: Strength | None = None
) -> Iterator[np.ndarray]:
    """Frames of a clip, one at a time.

    Args:
        view: side of the square that the camera sees, in head units.
        seed: equal seeds give equal clips; others move otherwise.

    Yields:
        (size, size, 3) uint8 RGB.
    """
    strength = strength or Strength()
    rng = np.random.default_rng(seed)
    paths = _motion(rng, frames, fps, strength)
    grid = _camera_grid(size)
    source = portrait.image.astype(np.float32)
    for i in range(frames):
        now = {name: float(values[i]) for name, values in paths.items()}
        x, y = _head_turn(portrait, *_camera(portrait, grid, view, now), now)
        picture = cv2.remap(source, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        noise = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(strength.noise)
        picture = picture * _light(grid, now) + noise
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _motion(rng: np.random.Generator, frames: int, fps: float, strength: Strength) -> dict[str, np.ndarray]:
    """A smooth path of `frames` values for each degree of freedom: two sines of random speed and phase."""
    amplitudes = {
        "yaw": strength.yaw,
        "pitch": strength.pitch,
        "roll": strength.roll,
        "sway_x": strength.sway,
        "sway_y": strength.sway / 2,
        "pan_x": strength.pan,
        "pan_y": strength.pan / 2,
        "zoom": strength.zoom,
        "light": strength.light,
        "light_side": strength.light,
    }
    seconds = np.arange(frames) / fps
    paths = {}
    for name, amplitude in amplitudes.items():
        speeds = rng.uniform(SLOWEST, FASTEST, 2) * [1, 2]
        phases = rng.uniform(0, 2 * np.pi, 2)
        waves = np.sin(2 * np.pi * speeds[:, None] * seconds + phases[:, None])
        paths[name] = amplitude * (0.75 * waves[0] + 0.25 * waves[1])
    return paths


def _camera_grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of every output pixel, (size, size) float32 in -0.5..0.5."""
    line = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


def _camera(
    portrait: Portrait, grid: tuple[np.ndarray, np.ndarray], view: float, now: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each output pixel looks in the portrait, in pixels, before the head moves."""
    side = view * portrait.unit * (1 + now["zoom"])
    height, width = portrait.image.shape[:2]
    # The camera aims at the face but never past the picture's edge, as far as the picture is large enough.
    aim = portrait.landmarks[2] + portrait.unit * np.array([now["pan_x"], now["pan_y"]])
    half = min(side, height, width) / 2
    aim = np.clip(aim, half, np.array([width, height]) - half)
    return grid[0] * np.float32(side) + np.float32(aim[0]), grid[1] * np.float32(side) + np.float32(aim[1])


def _head_turn(
    portrait: Portrait, x: np.ndarray, y: np.ndarray, now: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Moves the looked-at points against the head's motion: what is drawn there moves with it."""
    unit = np.float32(portrait.unit)
    nose = portrait.landmarks[2]
    dx, dy = (x - np.float32(nose[0])) / unit, (y - np.float32(nose[1])) / unit
    reach = (dx / HEAD_RADII[0]) ** 2 + (dy / HEAD_RADII[1]) ** 2
    # exp of a negative square: depth and its slope fade out smoothly, so nothing tears at the head's edge.
    depth = HEAD_DEPTH * np.exp(-reach)
    follows = np.exp(-0.25 * reach**2)
    move_x = math.sin(now["yaw"]) * depth + follows * (now["sway_x"] - now["roll"] * dy)
    move_y = math.sin(now["pitch"]) * depth + follows * (now["sway_y"] + now["roll"] * dx)
    return x - move_x * unit, y - move_y * unit


def _light(grid: tuple[np.ndarray, np.ndarray], now: dict[str, float]) -> np.ndarray:
    """(size, size, 1) gain: overall brightness and a gradient from side to side."""
    return (1 + now["light"] + 2 * now["light_side"] * grid[0])[..., None]
