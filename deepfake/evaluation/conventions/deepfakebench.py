"""The convention of DeepfakeBench's tables of videos."""

from deepfake.evaluation.protocols import DROP, LARGEST, PROTOCOLS, Protocol
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO

PROTOCOLS.register("deepfakebench")(
    Protocol(
        FRAMES_PER_VIDEO,
        first=True,
        aggregation=LARGEST,
        no_face=DROP,
        meaning="DeepfakeBench: the first n stored frames, one face each",
    )
)
