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

TRIAL_TOLERANCE = REDUCED_TOLERANCE / 2
"""Largest difference with which `auto` takes a reduced precision: a trial sees few faces, so it keeps a margin."""

VIDEOS, PORTRAITS = "videos", "portraits"
"""Where the faces are from that fewer bits are tried on."""


@dataclass(frozen=True)
class PrecisionCheck:
    """How scores in reduced precision compare with float32's: tried before a run, and checked while it goes.

    Differences are of probabilities, and None where there was no face to try, or where a score was not a number.

    Attributes:
        precision: what was tried, a name in PRECISIONS.
        source: where the faces are from, VIDEOS or PORTRAITS.
        videos: how many of them showed a face; each portrait is a video here.
        faces: how many faces were tried; of several networks, the fewest.
        video_difference: the largest difference of the mean over a video's faces, over all networks.
        face_difference: likewise of single faces, of the same network.
        spread: the root mean square of that network's single faces.
        network: the network with the largest difference; of a refusal, the one that was refused.
        kept: whether the run computes in `precision`: if `video_difference` and `spread` are within TRIAL_TOLERANCE.
        checked: how many videos of the run were scored in float32 too; 0 until it has ended.
        replaced: how many of them differed by more than REDUCED_TOLERANCE; their scores are float32's.
        checked_difference: the largest difference of the checked videos.
        farthest: the name of the video with that difference.
    """

    precision: str
    source: str
    videos: int
    faces: int
    video_difference: float | None = None
    face_difference: float | None = None
    spread: float | None = None
    network: str | None = None
    kept: bool = False
    checked: int = 0
    replaced: int = 0
    checked_difference: float | None = None
    farthest: str | None = None

    @property
    def chosen(self) -> str:
        """The precision that the run computes in."""
        return self.precision if self.kept else FLOAT32

    def summary(self) -> str:
        """Say what a run computes in and why, and what its checks found."""
        if self.kept:
            far = f"{self.video_difference:.2g} from float32's at most (single faces {self.face_difference:.2g})"
            return f"{self.precision}: scores of {self._examples()} are {far}{self._checks()}"
        if not self.faces:
            return f"float32: no face was found in {self.source} to try {self.precision} on"
        return f"float32: in {self.precision} scores of {self.network} {self._refusal()} ({self._examples()})"

    def warning(self) -> str | None:
        """Say that checked videos were off too far, and what to do; None if none was."""
        if not self.replaced:
            return None
        return (
            f"{self._replaced()}, more than {REDUCED_TOLERANCE:g}: these have float32's scores, but others may be off "
            f"too; --precision float32 scores all in float32"
        )

    def _refusal(self) -> str:
        if self.video_difference is None:
            return "are no numbers"
        if self.video_difference > TRIAL_TOLERANCE:
            return f"are off by {self.video_difference:.2g}, more than {TRIAL_TOLERANCE:g}"
        return f"of single faces are off by {self.spread:.2g} (root mean square), more than {TRIAL_TOLERANCE:g}"

    def _checks(self) -> str:
        if not self.checked:
            return ""
        if self.replaced:
            return f"; {self._replaced()}"
        return f"; {self.checked} video{'s' * (self.checked > 1)} checked later: {self.checked_difference:.2g} at most"

    def _replaced(self) -> str:
        far = "are no numbers" if self.checked_difference is None else f"differ by up to {self.checked_difference:.2g}"
        return f"scores of {self.replaced} of {self.checked} videos checked in float32 {far} ({self.farthest})"

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
