"""Which groups of videos a network was trained on, kept in its spec: digests, which are small and give no name away."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Container, Iterable, Mapping
from typing import Any

from deepfake.storage.schema import require

GROUPS = "groups"
"""The key of a spec's `training`; one without it does not say what it was trained on."""

_BYTES = 6
"""Of a digest. Of 20,000 groups, one in 14 billion names that are none of them is taken for one."""


def digest_groups(names: Iterable[str]) -> str:
    """Return the digests of names, each once, sorted, in base64: 8 characters a name."""
    return base64.b64encode(b"".join(sorted({_digest(name) for name in names}))).decode("ascii")


def join_groups(training: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a training that began with weights of an earlier one: the groups of both, or none where
    the earlier one's are not known.

    Args:
        training, earlier: `ModelSpec.training` of both.
    """
    joined = dict(training)
    own = joined.pop(GROUPS, None)
    if own is None or GROUPS not in earlier:
        return joined
    digests = _digests(own) | _digests(earlier[GROUPS])
    return {**joined, GROUPS: base64.b64encode(b"".join(sorted(digests))).decode("ascii")}


class TrainedGroups(Container[str]):
    """The groups that digests stand for: says of a name whether it is one of them, but cannot name them.

    Args:
        digests: as `digest_groups` returns them. Raises ValueError for any other value.
    """

    def __init__(self, digests: Any) -> None:
        self._digests = _digests(digests)

    def __len__(self) -> int:
        return len(self._digests)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _digest(name) in self._digests


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()


def _digests(text: Any) -> set[bytes]:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b"?"
    except ValueError:
        data = b"?"
    require(len(data) % _BYTES == 0, GROUPS, f"digests in base64; found {text!r:.100}")
    return {data[i : i + _BYTES] for i in range(0, len(data), _BYTES)}
