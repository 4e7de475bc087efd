"""What a video's record survives."""

import json

import pytest

from deepfake.scoring.results import NO_FACE, VideoResult
from tests.data.results import RESULT


def test_a_record_survives_json_exactly():
    assert VideoResult.from_dict(json.loads(json.dumps(RESULT.to_dict()))) == RESULT
    empty = VideoResult(NO_FACE)
    assert VideoResult.from_dict(json.loads(json.dumps(empty.to_dict()))) == empty


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "fine"}, "status: expected one of ok, no_face, unreadable, crashed, failed; found 'fine'"),
        ({"score": 1.5}, "score: expected a number from 0 to 1, or null; found 1.5"),
        ({"score": "0.5"}, "score: .*found '0.5'"),
        ({"sorce": 1}, "sorce: expected one of the keys status, score"),
        ({"faces": [{"frame": 0}]}, r"faces\[0\]\.box: expected a value"),
        ({"size": [1]}, "size: expected a list of 2 numbers, or null"),
    ],
)
def test_what_is_no_record_is_refused(change, expected):
    with pytest.raises(ValueError, match=f"^{expected}"):
        VideoResult.from_dict({**RESULT.to_dict(), **change})
