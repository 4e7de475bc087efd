"""Where and in how many bits networks compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch

FLOAT32 = "float32"
PRECISIONS = {FLOAT32: torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

AUTO = "auto"

TOLERANCE = {FLOAT32: 1e-3}
REDUCED_TOLERANCE = 1e-2
"""Largest difference of a probability from torch's in float32: of float32 elsewhere, and of every other precision."""

VIDEOS, PORTRAITS = "videos", "portraits"
"""Where the faces are from that fewer bits are tried on."""


@dataclass(frozen=True)
class PrecisionCheck:
    """What was seen of fewer bits before a run.

    Attributes:
        precision: what was tried, a name in PRECISIONS.
        source: where the faces are from, VIDEOS or PORTRAITS.
        videos: how many of them showed a face.
        faces: how many there were; where networks see different faces, the least.
        video_difference: how far the mean probability of a video's faces is from float32's, at most, over all networks
            that were tried; each portrait is a video here. None: nothing to try it on, or no number.
        face_difference: likewise of single faces.
        network: which is the farthest off; of several that are too far, the first. None likewise.
        kept: whether the run computes in it: if `video_difference` is within REDUCED_TOLERANCE.
    """

    precision: str
    source: str
    videos: int
    faces: int
    video_difference: float | None = None
    face_difference: float | None = None
    network: str | None = None
    kept: bool = False

    @property
    def chosen(self) -> str:
        """What the run computes in."""
        return self.precision if self.kept else FLOAT32

    def told(self) -> str:
        """What a run computes in and why, in words."""
        if self.kept:
            far = f"{self.video_difference:.2g} from float32's at most (single faces {self.face_difference:.2g})"
            return f"{self.precision}: scores of {self._examples()} are {far}"
        if not self.faces:
            return f"float32: no face was found in {self.source} to try {self.precision} on"
        off = "are no numbers"
        if self.video_difference is not None:
            off = f"are off by {self.video_difference:.2g}, more than {REDUCED_TOLERANCE:g}"
        return f"float32: in {self.precision} scores of {self.network} {off} ({self._examples()})"

    def _examples(self) -> str:
        videos = self.source if self.videos > 1 else self.source.removesuffix("s")
        return f"{self.faces} face{'s' * (self.faces > 1)} of {self.videos} {videos}"


def choose_device(name: str) -> str:
    """`auto`, `cpu` or `cuda` -> `cpu` or `cuda`.

    Raises:
        ValueError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu"


def fastest_precision(device: str) -> str:
    """The name in PRECISIONS that a device computes fastest in: bf16 on CPUs that multiply it (AMX, AVX-512 BF16), fp16
    on CUDA, as the published code did; float32 elsewhere, where fewer bits are emulated and slower."""
    if device == "cuda":
        return "fp16"
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if native else FLOAT32
