"""`assets_keys.json`: what is written is read, and what is something else is refused by key."""

import json

import pytest

from federated.plan.asset_keys import AssetKeys, read_keys, write_keys
from federated.plan.plan import OwnerAssets

pytestmark = pytest.mark.federated

KEYS = AssetKeys(
    owners={"owner1": OwnerAssets("MyOrg1MSP", "data-key", ["a", "b"], ["c"])},
    fingerprints={"owner1": "f" * 64},
    detections={"owner1": {"scale": 0.5}, "owner2": None},
    plans={"asked": "plan-key"},
)


def test_keys_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "assets_keys.json"
    assert read_keys(path) == AssetKeys()
    write_keys(path, KEYS)
    assert read_keys(path) == KEYS
    assert path.read_text().startswith('{\n    "format": 1,\n    "owners": {\n        "owner1": {')


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": 2}, "format: expected 1; found 2"),
        ({"surprise": 1}, "surprise: expected one of the keys owners, fingerprints, detections, plans"),
        ({"owners": {"owner1": {"organization": "o"}}}, "owners.owner1.dataset: expected a value; the key is missing"),
        ({"plans": {"asked": 1}}, "plans.asked: expected a text; found 1"),
    ],
)
def test_other_files_are_refused(tmp_path, change, expected):
    path = tmp_path / "assets_keys.json"
    write_keys(path, KEYS)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"^{path}: {expected}"):
        read_keys(path)
