"""The convention of the paper on self-blended images."""

from deepfake.evaluation.protocols import HIGHEST, NEUTRAL, PROTOCOLS, Protocol
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO

PROTOCOLS.register("sbi")(
    Protocol(
        FRAMES_PER_VIDEO,
        aggregation=HIGHEST,
        no_face=NEUTRAL,
        meaning="self-blended images; 0.5 without a face is chosen here",
    )
)
