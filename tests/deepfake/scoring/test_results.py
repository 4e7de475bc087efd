"""What a video's record survives."""

import json

from deepfake.scoring.results import NO_FACE, VideoResult
from tests.data.results import RESULT


def test_a_record_survives_json_exactly():
    assert VideoResult.from_dict(json.loads(json.dumps(RESULT.to_dict()))) == RESULT
    empty = VideoResult(NO_FACE)
    assert VideoResult.from_dict(json.loads(json.dumps(empty.to_dict()))) == empty
