"""The convention of DFDC's first place."""

from deepfake.evaluation.protocols import CONFIDENT, NEUTRAL, PROTOCOLS, Protocol
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO

PROTOCOLS.register("dfdc")(
    Protocol(
        FRAMES_PER_VIDEO,
        aggregation=CONFIDENT,
        no_face=NEUTRAL,
        meaning="first place of DFDC: 0.5 for videos without a face",
    )
)
