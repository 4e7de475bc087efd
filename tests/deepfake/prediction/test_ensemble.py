"""Ensemble files: what is shipped can be used, what makes no sense is refused by name."""

import json
from pathlib import Path

import pytest

from deepfake.media.video import EveryFrames, SpreadFrames
from deepfake.prediction.ensemble import EnsembleError, Member, find_members, read_ensemble
from deepfake.published import NAMES, SECOND_PLACE_NAMES

GOOD = {"frames": {"every": 5}, "max_faces": 7, "aggregation": "mean", "models": {"a": 1, "b": 3}}
WEIGHTS = Path("weights")


@pytest.fixture
def write(tmp_path):
    def call(content: object, name: str = "own.json") -> Path:
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / name

    return call


def test_a_file_lists_members(write):
    members = read_ensemble(write(GOOD), WEIGHTS)
    assert members == [
        Member(WEIGHTS / "a", 0.25, EveryFrames(5), 7, "mean"),
        Member(WEIGHTS / "b", 0.75, EveryFrames(5), 7, "mean"),
    ]
    assert [member.name for member in members] == ["a", "b"]


def test_ensembles_mix(write):
    write(GOOD, "one.json")
    write({**GOOD, "frames": {"spread": 32}, "models": {"c": 5}}, "two.json")
    members = read_ensemble(write({"ensembles": {"one": 1, "two": 3}}), WEIGHTS)
    assert {member.name: member.weight for member in members} == pytest.approx({"a": 1 / 16, "b": 3 / 16, "c": 3 / 4})
    assert members[2].frames == SpreadFrames(32)


def test_what_stands_for_members(write):
    one, two = Member(Path("a")), Member(Path("b"), 3.0)
    assert find_members("a", WEIGHTS) == find_members(Path("a"), WEIGHTS) == find_members([one], WEIGHTS) == [one]
    assert find_members([Path("a"), two, "c"], WEIGHTS) == [one, two, Member(Path("c"))]
    assert [member.checkpoint for member in find_members("second_place", WEIGHTS)] == [
        WEIGHTS / name for name in SECOND_PLACE_NAMES
    ]
    file = write(GOOD)
    assert find_members(file, WEIGHTS) == find_members(str(file), WEIGHTS) == read_ensemble(file, WEIGHTS)


def test_the_shipped_ensembles(project_root):
    folder = project_root / "configs" / "ensembles"
    assert {path.stem for path in folder.iterdir()} == {"first_place", "second_place", "both"}
    first, second, both = (
        read_ensemble(folder / f"{name}.json", WEIGHTS) for name in ("first_place", "second_place", "both")
    )
    assert [m.name for m in first] == list(NAMES)
    assert {(m.weight, m.frames, m.max_faces, m.aggregation) for m in first} == {
        (1 / 7, SpreadFrames(32), 127, "confident")
    }
    assert {m.name: m.weight for m in second} == pytest.approx(dict(zip(SECOND_PLACE_NAMES, (0.2, 0.7, 0.1))))
    assert {(m.frames, m.max_faces, m.aggregation) for m in second} == {(EveryFrames(10), 25, "mean")}
    assert [m.name for m in both] == [m.name for m in first + second]
    assert [m.weight * 2 for m in both] == pytest.approx([m.weight for m in first + second])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ([], "expected a mapping; found list"),
        ({"models": {"a": 1}}, "frames: expected a value; the key is missing"),
        ({**GOOD, "wings": 2}, "wings: expected one of the keys frames, max_faces, aggregation, models; this one"),
        ({"ensembles": {"one": 1}, "wings": 2}, "wings: expected one of the keys ensembles; this one is unknown"),
        ({**GOOD, "aggregation": "best"}, "aggregation: expected one of confident, mean; found 'best'"),
        ({**GOOD, "frames": {"some": 3}}, "frames.some: expected one of spread, every"),
        ({**GOOD, "frames": {"spread": 3, "every": 3}}, "frames: expected a mapping with one entry"),
        ({**GOOD, "frames": {}}, "frames: expected a mapping with one entry"),
        ({**GOOD, "frames": {"every": 0}}, "frames.every: expected a whole number of 1 or more; found 0"),
        ({**GOOD, "max_faces": True}, "max_faces: expected a whole number"),
        ({**GOOD, "models": {}}, "models: expected a mapping with at least one entry"),
        ({**GOOD, "models": {"a": 0}}, "models.a: expected a number more than 0; found 0"),
        ({**GOOD, "aggregation": ["mean"]}, r"aggregation: expected a text; found \['mean'\]"),
        ({**GOOD, "models": {"a": True}}, "models.a: expected a number more than 0; found True"),
        ({**GOOD, "models": {"a": 10**400}}, "models.a: expected a whole number of at most 64 bits"),
        ({**GOOD, "models": {"a": float("inf")}}, "models.a: expected a finite number; found Infinity"),
        ({**GOOD, "models": {"a": 1e308, "b": 1e-300}}, "expected weights that do not vanish beside each other"),
        ({**GOOD, "models": {"../a": 1}}, "'../a' is not a plain file name"),
        ({"ensembles": {"../one": 1}}, "'../one' is not a plain file name"),
        ({"ensembles": {"nowhere": 1}}, r"nowhere\.json: no readable ensemble: No such file"),
    ],
)
def test_nonsense_is_refused(write, content, message):
    with pytest.raises(EnsembleError, match=message):
        read_ensemble(write(content), WEIGHTS)


def test_large_weights_are_shares_too(write):
    members = read_ensemble(write({**GOOD, "models": {"a": 1e308, "b": 1e308}}), WEIGHTS)
    assert [member.weight for member in members] == [0.5, 0.5]


def test_mixes_of_mixes_are_refused(write):
    write({"ensembles": {"own": 1}})
    with pytest.raises(EnsembleError, match="ensembles: expected one of the keys frames"):
        read_ensemble(write({"ensembles": {"own": 1}}), WEIGHTS)
