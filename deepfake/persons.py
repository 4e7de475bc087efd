"""Who is who: the faces of one video linked over its frames by where they are.

Frames may lie far apart (a third of a second and more), so boxes need not overlap: a face belongs to the person whose
last face is nearest, measured in face sizes. Nothing is known of looks: two people who change places change identity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[float, float, float, float]

MAX_SHIFT = 1.0
"""A person's next face is at most this many face sizes away, per `SHIFT_FRAMES` frames that have passed (at most
`MAX_SHIFT_GROWTH` times as far)."""
SHIFT_FRAMES = 15
MAX_SHIFT_GROWTH = 3.0
MAX_GROWTH = 2.0
"""And at most that many times as large or as small."""

_NEVER = 1e6


@dataclass
class _Person:
    box: Box
    frame: int
    source: int


def link_persons(faces: Sequence[tuple[int, int, Box]]) -> list[int]:
    """Each face's person, counted from 0 in the order of appearance (from left to right within a frame).

    Args:
        faces: (frame index, source, box x1, y1, x2, y2) in any order. Sources are ways by which the same frame was
            looked at (crops, aligned faces): a person has at most one face a frame in each.
    """
    persons: list[_Person] = []
    found = [0] * len(faces)
    order = sorted(range(len(faces)), key=lambda i: (faces[i][0], faces[i][1], faces[i][2][0]))
    for start, end in _runs([(faces[i][0], faces[i][1]) for i in order]):
        group = order[start:end]
        matched = _match([faces[i] for i in group], persons)
        for i, person in zip(group, matched):
            frame, source, box = faces[i]
            if person is None:
                person = len(persons)
                persons.append(_Person(box, frame, source))
            persons[person] = _Person(box, frame, source)
            found[i] = person
    return found


def _match(faces: Sequence[tuple[int, int, Box]], persons: Sequence[_Person]) -> list[int | None]:
    """The known person of each face of one frame and source; None for a new one. Nobody has two faces there."""
    if not persons:
        return [None] * len(faces)
    costs = np.array([[_distance(frame, box, person) for person in persons] for frame, _, box in faces])
    matched: list[int | None] = [None] * len(faces)
    for face, person in zip(*linear_sum_assignment(costs)):
        if costs[face, person] < _NEVER:
            matched[face] = int(person)
    return matched


def _distance(frame: int, box: Box, person: _Person) -> float:
    """How far a face is from a person's last one, in face sizes; `_NEVER` if it cannot be the same."""
    (x, y, size), (last_x, last_y, last_size) = _centre(box), _centre(person.box)
    if not 1 / MAX_GROWTH <= size / last_size <= MAX_GROWTH:
        return _NEVER
    shift = float(np.hypot(x - last_x, y - last_y)) / max(size, last_size)
    allowed = MAX_SHIFT * min(max((frame - person.frame) / SHIFT_FRAMES, 1.0), MAX_SHIFT_GROWTH)
    return shift if shift <= allowed else _NEVER


def _centre(box: Box) -> tuple[float, float, float]:
    """Centre and size (the root of the area) in pixels."""
    x1, y1, x2, y2 = box
    return (x1 + x2) / 2, (y1 + y2) / 2, float(np.sqrt(max((x2 - x1) * (y2 - y1), 1.0)))


def _runs(keys: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Start and end of each run of equal keys."""
    starts = [i for i, key in enumerate(keys) if i == 0 or key != keys[i - 1]]
    return list(zip(starts, [*starts[1:], len(keys)]))
