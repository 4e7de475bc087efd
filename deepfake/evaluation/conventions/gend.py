"""The convention of the paper on GenD."""

from deepfake.evaluation.protocols import DROP, LARGEST, PROTOCOLS, Protocol
from deepfake.scoring.aggregation import FRAMES_PER_VIDEO

PROTOCOLS.register("gend")(
    Protocol(
        FRAMES_PER_VIDEO,
        aggregation=LARGEST,
        no_face=DROP,
        meaning="GenD; dropping videos without a face is chosen here",
    )
)
