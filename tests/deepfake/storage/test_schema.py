"""Files with a schema: what a field does not allow is refused in one plain line that names source, key and range."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Interval, Len

from deepfake.storage.schema import (
    OTHERS_IGNORED,
    Count,
    Positive,
    from_plain,
    read_json_as,
    require,
    to_plain,
    write_json_as,
)


@dataclass(frozen=True)
class Part:
    low: float
    high: Annotated[float, Interval(ge=0, lt=1)] = 0.5

    def __post_init__(self) -> None:
        require(self.low <= self.high, "low", f"at most high; found {self.low}")


@dataclass(frozen=True, kw_only=True)
class Whole:
    name: str
    count: Count = 1
    sure: bool = False
    kind: Literal["crop", "aligned"] = "crop"
    part: Part | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    words: tuple[str, ...] = ()
    weights: Annotated[dict[str, Positive], Len(1)] = field(default_factory=lambda: {"a": 1.0})
    frames: dict[int, list[Part]] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]

FULL = Whole(
    name="é\ud800",
    part=Part(0.25),
    pair=(1.0, 2.0),
    words=("x", "y"),
    frames={3: [Part(0.0, 0.25)], -1: []},
    extra={"any": [None, {"thing": True}]},
)


@pytest.mark.parametrize("value", [FULL, Whole(name="")])
def test_what_is_written_is_read(tmp_path, value):
    path = tmp_path / "whole.json"
    write_json_as(path, value, file_format=2, indent=1)
    assert path.read_text().startswith('{\n "format": 2,\n "name": ') and path.read_text().endswith("}\n")
    assert read_json_as(path, Whole, "whole", file_format=2) == value
    assert from_plain(Whole, to_plain(value)) == from_plain(Whole, json.loads(json.dumps(to_plain(value)))) == value


def test_plain_values_are_those_of_json():
    assert to_plain(FULL)["frames"] == {3: [{"low": 0.0, "high": 0.25}], -1: []}
    assert to_plain(FULL)["pair"] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nmae": 1}, "nmae: expected one of the keys name, count, sure, .*, extra; this one is unknown"),
        ({"name": ...}, "name: expected a value; the key is missing"),
        ({"name": ..., "nmae": 1}, "nmae: expected one of the keys"),
        ({"name": 1}, "name: expected a text; found 1"),
        ({"count": 0}, "count: expected a whole number of 1 or more; found 0"),
        ({"count": True}, "count: .*; found True"),
        ({"count": 1.0}, r"count: .*; found 1\.0"),
        ({"count": "1"}, "count: .*; found '1'"),
        ({"sure": 1}, "sure: expected true or false; found 1"),
        ({"kind": "cubist"}, "kind: expected one of crop, aligned; found 'cubist'"),
        ({"kind": ["crop"]}, "kind: expected one of crop, aligned; found .'crop'."),
        ({"part": []}, "part: expected a mapping, or null; found .."),
        ({"part": {"low": "0"}}, r"part\.low: expected a number; found '0'"),
        ({"part": {"low": True}}, r"part\.low: expected a number; found True"),
        ({"part": {"low": math.nan}}, r"part\.low: expected a number; found nan"),
        ({"part": {"low": -math.inf}}, r"part\.low: expected a number; found -inf"),
        ({"part": {"low": 0, "high": 1}}, r"part\.high: expected a number of 0 or more and less than 1; found 1"),
        ({"part": {"low": 0.75}}, r"part\.low: expected at most high; found 0\.75"),
        ({"part": {"low": 0, "hihg": 1}}, r"part\.hihg: expected one of the keys low, high"),
        ({"pair": [1]}, r"pair: expected a list of 2 numbers; found \[1\]"),
        ({"pair": [1, 2, 3]}, "pair: expected a list of 2 numbers"),
        ({"pair": 1}, "pair: expected a list of 2 numbers"),
        ({"pair": [1, None]}, r"pair\[1\]: expected a number; found None"),
        ({"words": ["x", 1]}, r"words\[1\]: expected a text; found 1"),
        ({"words": "xy"}, "words: expected a list; found 'xy'"),
        ({"weights": {}}, "weights: expected a mapping with at least one entry; found {}"),
        ({"weights": {"a": 0}}, r"weights\.a: expected a number more than 0; found 0"),
        ({"frames": {"x": []}}, r"frames\.x: expected a whole number; found 'x'"),
        ({"frames": {"1": [{"low": 0}, {"low": None}]}}, r"frames\.1\[1\]\.low: expected a number; found None"),
        ({"extra": {"a\nb": 1}, "pa\nrt": 1}, "pa rt: expected one of the keys"),
        ({"name": ["x" * 1000]}, r"name: expected a text; found \['x{20,60}\.\.\.x{20,60}$"),
        ({"name": DEEP}, r"name: expected a text; found \[\[\[\[\[\[\[\.\.\.\]\]"),
        ({"name": [[0] * 10**6] * 3}, r"name: expected a text; found \[\[0, 0, 0, 0, 0, 0, \.\.\.\]"),
    ],
)
def test_what_a_field_does_not_allow_is_refused(change, expected):
    content = {key: value for key, value in {"name": "n", **change}.items() if value is not ...}
    with pytest.raises(ValueError, match=f"^a.json: {expected}") as raised:
        from_plain(Whole, content, "a.json")
    assert len(str(raised.value).splitlines()) == 1


def test_other_kinds_than_dataclasses_are_as_strict():
    kind = dict[int, list[tuple[float, Count]] | None]
    assert from_plain(kind, {"7": [[1, 2]], "8": None}) == {7: [(1.0, 2)], 8: None}
    for wrong in ([True, 1], ["1", 1], [math.inf, 1], [1, 1.0], [1, 0]):
        with pytest.raises(ValueError, match=r"^7\[1\]\[[01]\]: expected a .*number"):
            from_plain(kind, {"7": [[1, 2], wrong]})


class OddError(ValueError):
    pass


@pytest.mark.parametrize("found", [2, True, None, "1", [1]])
def test_another_format_is_refused(tmp_path, found):
    path = tmp_path / "whole.json"
    path.write_text(json.dumps({"format": found, "name": "n"}))
    with pytest.raises(OddError, match="format: expected 1; found") as raised:
        read_json_as(path, Whole, "whole", OddError, file_format=1)
    assert str(raised.value).startswith(f"{path}: ")


def test_what_is_no_mapping_is_refused(tmp_path):
    path = tmp_path / "whole.json"
    path.write_text("[1]")
    with pytest.raises(OddError, match=r"whole.json: expected a mapping; found \[1\]"):
        read_json_as(path, Whole, "whole", OddError, file_format=1)


def test_pydantic_is_loaded_only_to_read(project_root):
    code = "import sys, deepfake.storage.schema; print(sorted({'pydantic', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=project_root, check=True)
    assert done.stdout == "[]\n"


@dataclass(frozen=True)
class Kept:
    __pydantic_config__ = OTHERS_IGNORED

    name: str
    parts: tuple[Part, ...] = ()


def test_a_dataclass_may_leave_keys_out_but_not_be_lax():
    assert from_plain(Kept, {"name": "n", "other": 1, "parts": [{"low": 0}]}) == Kept("n", (Part(0.0),))
    with pytest.raises(ValueError, match=r"^name: expected a text; found 1"):
        from_plain(Kept, {"name": 1, "other": 1})
    with pytest.raises(ValueError, match=r"^parts\[0\]\.low: expected a number; found True"):
        from_plain(Kept, {"name": "n", "parts": [{"low": True}]})
    assert from_plain(Kept, {"name": "n", "parts": [{"low": 0, "other": 1}]}).parts == (Part(0.0),)
