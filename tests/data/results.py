"""A video's result with a face, and a run, for tests of what is written of them."""

from deepfake.scoring.results import OK, ScoredFace, VideoResult

FACE = ScoredFace(7, (1.25, -2.5, 30.0, 40.0), 0.99, (50, 40), 0, {"m": 0.1 + 0.2}, 1, ((1.0, 2.0),) * 5)
RESULT = VideoResult(OK, 0.1 + 0.2, "", {"m": 0.1 + 0.2}, [0, 7], (480, 640), [FACE], 1.5)
RUN = {"models": [{"name": "m"}], "crop_recipes": [], "settings": {}}
