"""`assets_keys.json`: the keys of what has been registered with a network, for the next run and for others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepfake.storage.schema import read_json_as, write_json_as
from federated.plan.plan import OwnerAssets
from federated.samples.samples import OwnerData

FORMAT = 1


@dataclass(frozen=True)
class AssetKeys:
    """What has been registered.

    Attributes:
        owners: keys by owner.
        fingerprints, detections: of the owners' samples (`OwnerData`) as they were registered.
        plans: keys of compute plans by what was asked for (`federated.plan.registering`).
    """

    owners: dict[str, OwnerAssets] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    detections: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)

    def with_owner(self, owner: str, assets: OwnerAssets, data: OwnerData) -> AssetKeys:
        return replace(
            self,
            owners={**self.owners, owner: assets},
            fingerprints={**self.fingerprints, owner: data.fingerprint},
            detections={**self.detections, owner: data.detection},
        )

    def with_plan(self, asked: str, plan: str) -> AssetKeys:
        return replace(self, plans={**self.plans, asked: plan})


def read_keys(path: Path) -> AssetKeys:
    """The keys in a file; none if there is no file.

    Raises:
        ValueError: something else is in it.
    """
    if not path.exists():
        return AssetKeys()
    return read_json_as(path, AssetKeys, "file of asset keys", file_format=FORMAT)


def write_keys(path: Path, keys: AssetKeys) -> None:
    """Writes the file, atomically."""
    write_json_as(path, keys, FORMAT, indent=4)
