"""What names of videos say in FaceForensics++, DFD and Celeb-DF, and in the many sets that are made of them.

name                            original        group
000_003, 00000_00003            000, 00000      the original, and what pairs link it to
01_02__talking__YVGY8LOK        01__talking     01
id0_id1_0000                    id0_0000        id0
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_FFPP_FAKE = re.compile(r"(\d{3}|\d{5})_(\d{3}|\d{5})")
_DFD_FAKE = re.compile(r"(\d+)_\d+__(.+)__[^_]+")
_DFD = re.compile(r"(\d+)(_\d+)?__.+")
_CELEB_FAKE = re.compile(r"(id\d+)_(?:id\d+_)?(\d+)(?:\D.*)?")
_CELEB = re.compile(r"(id\d+)_.*")


def original_of(name: str) -> str | None:
    """Return the name of the video that a fake was made from; None if its name does not say it."""
    if match := _FFPP_FAKE.fullmatch(name):
        return match[1]
    if match := _DFD_FAKE.fullmatch(name):
        return f"{match[1]}__{match[2]}"
    if match := _CELEB_FAKE.fullmatch(name):
        return f"{match[1]}_{match[2]}"
    return None


def group_of(name: str) -> str:
    """Return what videos of the same person share: FaceForensics++'s number, DFD's actor, Celeb-DF's person.

    Another name is a group of its own.
    """
    match = _FFPP_FAKE.fullmatch(name) or _DFD.fullmatch(name) or _CELEB.fullmatch(name)
    return match[1] if match else name


def linked_groups(names: Iterable[str], pairs: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return for each of FaceForensics++'s numbers the first of all that fakes, or further pairs, link it to."""
    matches = (_FFPP_FAKE.fullmatch(name) for name in names)
    return _linked([*pairs, *((match[1], match[2]) for match in matches if match)])


def _linked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    first: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := first.setdefault(name, name)) != name:
            name = above
        return name

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        first[high] = low
    return {name: find(name) for name in first}
