"""Who is who: the faces of one video linked over its frames by where they are.

Frames may lie far apart (a third of a second and more), so boxes need not overlap. First the motion that faces share,
the camera's, is estimated over the whole video and taken out. Then each face is linked to the one in the frame before
that is where its person is expected, and what is left, pieces of paths, are joined end to start. Distances are in face
sizes. Nothing is known of looks: two people who change places while nobody sees them change identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

Box = tuple[float, float, float, float]

MIN_PERSON_FACES = 3
"""A person seen in fewer frames is not judged and cannot decide about a video, unless all are: a false detection may be
one."""

NEAR = 1.0
"""A face belongs to a person of the frame before if it is at most this far from where that person is expected."""
MAX_SHIFT = 1.0
"""Pieces of a path are joined if they are at most this far apart, per `SHIFT_FRAMES` frames that have passed (at most
`MAX_SHIFT_GROWTH` times as far)."""
SHIFT_FRAMES = 15
MAX_SHIFT_GROWTH = 3.0
MAX_GROWTH = 2.0
"""And at most that many times as large or as small."""
SAME_FACE = 0.5
"""What two sources found in a frame is one face if it is at most this far apart."""

VELOCITY_SIGHTINGS = 4
"""A velocity is the mean over so many sightings."""
COASTING_STEPS = 3
"""For that many steps from frame to frame a velocity says where a person is."""
VELOCITY_SHARE = 0.7
"""Of the cost of a link, the rest being the distance from the last place: people who cross keep their directions."""
SIZE_COST = 0.5
"""Of a link, per unit of the logarithm of how much the face has grown."""
GAP_COST, MAX_GAP_COST = 0.02, 0.3
"""Of joining pieces, per step between them, and at most: the more recent one is preferred."""
NOBODY_COST = 1.0
"""Of a piece that is joined to none; a join costs about 1 at most."""

CAMERA_GROWTH = 1.5
"""Faces that differ more in size say nothing of the camera."""
CAMERA_SPEED_COST, MAX_CAMERA_SPEED_COST = 1.0, 0.6
"""Of a camera that moves a face size a step, and at most, where each face that its motion explains gains 1: one face
that moves slowly is somebody who walks."""
CAMERA_JERK_COST, CAMERA_JERK_SHARE = 1.1, 0.25
"""Of a camera whose speed changes by a face size a step or more. So a leap that explains one face at one step is dearer
than that one person leaves and another comes; a motion that goes on, or that several faces share, is cheaper."""
CAMERA_FACES = 12
"""The largest faces of a frame, whose shifts the camera's may be."""

MOTIONS = 3
"""Common motions are looked for in turn: the camera's, then that of faces which it leaves alone."""
FRAGMENT = 3
"""Paths of fewer faces are left alone by a motion."""

SURE = 0.95
"""A detector's confidence from which a face is believed that is seen once or twice. MTCNN's five false ones in three
clips of mini_dfdc have 0.80 to 0.88; one in twenty of the true ones has less than 0.96."""

_NEVER = 1e6


def track_faces(faces: Sequence[tuple[int, int, Box]]) -> list[int]:
    """Return each face's person, counted from 0 in the order of appearance (from left to right within a frame).

    Args:
        faces: (frame index, source, box x1, y1, x2, y2) in any order. Sources are ways by which the same frame was
            looked at (crops, aligned faces): a person has at most one face a frame in each.
    """
    if not faces:
        return []
    merged = _merge_sources(faces)
    paths = _paths(_Sightings.of([(faces[same[0]][0], faces[same[0]][2]) for same in merged]))
    found = [0] * len(faces)
    for person, path in enumerate(sorted(paths)):
        for sighting in path:
            for face in merged[sighting]:
                found[face] = person
    return found


def drop_strays(tracks: Sequence[int], frames: Sequence[int], confidences: Sequence[float | None]) -> list[int | None]:
    """Return each face's person, counted anew, without persons who are probably no face: None for their faces.

    A detector that takes a pattern for a face does so in a frame or two and is not sure. So a person seen in fewer than
    MIN_PERSON_FACES frames, never with a confidence of SURE, is none, if another one is seen in as many.

    Args:
        tracks: the person of each face, as `track_faces` returns them.
        frames: of each face.
        confidences: of each face, 0..1; None from a detector that gives none, which is sure.
    """
    seen: dict[int, set[int]] = {}
    sure: set[int] = set()
    for person, frame, confidence in zip(tracks, frames, confidences):
        seen.setdefault(person, set()).add(frame)
        if confidence is None or confidence >= SURE:
            sure.add(person)
    most = max(map(len, seen.values()), default=0)
    kept = [person for person in sorted(seen) if person in sure or can_judge(len(seen[person]), most)]
    numbers = {person: number for number, person in enumerate(kept)}
    return [numbers.get(person) for person in tracks]


def can_judge(faces: int, most: int) -> bool:
    """Return whether a person is seen often enough to be judged: in MIN_PERSON_FACES, unless nobody is.

    Args:
        faces: of the person.
        most: of the person of that video who has most.
    """
    return faces >= MIN_PERSON_FACES or most < MIN_PERSON_FACES


@dataclass(frozen=True)
class _Sightings:
    """Faces in the order of frames: their frames (n,), places (n, 2) and sizes (n,) in pixels."""

    frames: np.ndarray
    places: np.ndarray
    sizes: np.ndarray

    @staticmethod
    def of(faces: Iterable[tuple[int, Box]]) -> _Sightings:
        """The size of a box is the root of its area."""
        frames, boxes = zip(*faces)
        x1, y1, x2, y2 = np.array(boxes, np.float64).T
        places = np.stack([(x1 + x2) / 2, (y1 + y2) / 2], axis=1)
        return _Sightings(np.array(frames), places, np.sqrt(np.maximum((x2 - x1) * (y2 - y1), 1.0)))

    def take(self, chosen: np.ndarray) -> _Sightings:
        return _Sightings(self.frames[chosen], self.places[chosen], self.sizes[chosen])

    def by_frame(self) -> list[np.ndarray]:
        """The indices of each frame's faces."""
        return np.split(np.arange(len(self.frames)), np.flatnonzero(np.diff(self.frames)) + 1)


def _merge_sources(faces: Sequence[tuple[int, int, Box]]) -> list[list[int]]:
    """The faces of each person in each frame, one of each source, in the order of frames, from left to right."""
    order = sorted(range(len(faces)), key=lambda i: (faces[i][0], faces[i][1], faces[i][2]))
    merged: list[list[int]] = []
    for _, in_frame in groupby(order, key=lambda i: faces[i][0]):
        known: list[list[int]] = []
        for _, group in groupby(in_frame, key=lambda i: faces[i][1]):
            new = list(group)
            if known:
                old, now = (_Sightings.of((0, faces[i][2]) for i in part) for part in ([k[0] for k in known], new))
                distances = _distances(now.places[:, None] - old.places, now.sizes[:, None], old.sizes)
                matched = _assign(np.where(distances <= SAME_FACE, distances, np.inf))
            else:
                matched = {}
            for i, face in enumerate(new):
                if i in matched:
                    known[matched[i]].append(face)
                else:
                    known.append([face])
        merged += sorted(known, key=lambda same: faces[same[0]][2])
    return merged


def _paths(seen: _Sightings) -> list[list[int]]:
    """Each person's sightings, by number."""
    steps = np.diff(np.unique(seen.frames))
    step = float(np.median(steps)) if len(steps) else 1.0
    paths = _link(seen, step)
    whole = [path for path in paths if len(path) >= FRAGMENT]
    fragments = [path for path in paths if len(path) < FRAGMENT]
    for _ in range(MOTIONS - 1):
        rest = np.array(sorted(i for path in fragments for i in path), int)
        more = [rest[path].tolist() for path in _link(seen.take(rest), step)] if len(rest) >= FRAGMENT else []
        linked = [path for path in more if len(path) >= FRAGMENT]
        if not linked:
            break
        whole += linked
        taken = {i for path in linked for i in path}
        fragments = [left for path in fragments if (left := [i for i in path if i not in taken])]
    return whole + fragments


def _link(seen: _Sightings, step: float) -> list[list[int]]:
    """Paths of people by one common motion.

    Args:
        step: frames from one that was looked at to the next, as a rule.
    """
    groups = seen.by_frame()
    offsets = np.repeat(_camera_path(seen, groups, step), [len(group) for group in groups], axis=0)
    still = _Sightings(seen.frames, seen.places - offsets, seen.sizes)
    paths: list[list[int]] = []
    current: list[list[int]] = []
    for group in groups:
        costs = _link_costs(still, current, [[int(i)] for i in group], step)
        matched = {start: path for path, start in _assign(costs).items()}
        last, current = current, []
        for number, i in enumerate(group):
            if number in matched:
                current.append(last[matched[number]])
                current[-1].append(int(i))
            else:
                current.append([int(i)])
                paths.append(current[-1])
    return _join(still, paths, step)


def _join(still: _Sightings, paths: list[list[int]], step: float) -> list[list[int]]:
    """Joins the pieces of people's paths over frames in which they were not found."""
    costs = _link_costs(still, paths, paths, step, joined=True)
    count = len(paths)
    alone = np.where(np.eye(count, dtype=bool), 0.0, np.inf)
    after = _assign(np.block([[costs, alone + NOBODY_COST], [alone, np.zeros_like(costs)]]))
    followed = {path: then for path, then in after.items() if path < count and then < count}
    joined = []
    for first in sorted(set(range(count)) - set(followed.values())):
        whole, last = list(paths[first]), first
        while last in followed:
            last = followed[last]
            whole += paths[last]
        joined.append(whole)
    return joined


def _link_costs(
    still: _Sightings, before: Sequence[list[int]], after: Sequence[list[int]], step: float, joined: bool = False
) -> np.ndarray:
    """Costs of linking the ends of paths to the starts of others, (n, m); infinite where they are not one person's.

    Args:
        still: places without the camera's motion.
        joined: whether frames may lie between them; otherwise each start is in the frame after the ends'.
    """
    if not before or not after:
        return np.empty((len(before), len(after)))
    ends, starts = np.array([path[-1] for path in before]), np.array([path[0] for path in after])
    frames = still.frames[starts] - still.frames[ends][:, None]
    shifts = still.places[starts] - still.places[ends][:, None]
    sizes = still.sizes[ends][:, None], still.sizes[starts]
    from_place = _distances(shifts, *sizes)
    passed = np.where(frames <= COASTING_STEPS * step, frames, np.nan)[..., None]
    leaving = _velocities(still, [path[-VELOCITY_SIGHTINGS:] for path in before])
    coming = _velocities(still, [path[:VELOCITY_SIGHTINGS] for path in after])
    ahead = _distances(shifts - passed * leaving[:, None], *sizes)
    behind = _distances(shifts - passed * coming, *sizes)
    ahead, behind = np.where(np.isnan(ahead), behind, ahead), np.where(np.isnan(behind), ahead, behind)
    from_velocity = np.where(np.isnan(ahead), from_place, (ahead + behind) / 2)
    growth = np.maximum(sizes[0] / sizes[1], sizes[1] / sizes[0])
    costs = VELOCITY_SHARE * from_velocity + (1 - VELOCITY_SHARE) * from_place + SIZE_COST * np.log(growth)
    allowed: np.ndarray | float = NEAR
    if joined:
        allowed = MAX_SHIFT * np.clip(frames / SHIFT_FRAMES, 1.0, MAX_SHIFT_GROWTH)
        costs = costs / allowed + np.clip(GAP_COST * (frames / step - 1), 0, MAX_GAP_COST)
    nearest = np.fmin(from_place, np.fmin(ahead, behind))
    return np.where((nearest <= allowed) & (growth <= MAX_GROWTH) & (frames > 0), costs, np.inf)


def _velocities(still: _Sightings, parts: Sequence[list[int]]) -> np.ndarray:
    """(n, 2) pixels a frame from the first to the last sighting of each; nan where there is one only."""
    first, last = np.array([part[0] for part in parts]), np.array([part[-1] for part in parts])
    frames = (still.frames[last] - still.frames[first]).astype(np.float64)
    frames[first == last] = np.nan
    return (still.places[last] - still.places[first]) / frames[:, None]


def _camera_path(seen: _Sightings, groups: Sequence[np.ndarray], step: float) -> np.ndarray:
    """How far the camera's motion has moved everybody at each frame, (frames, 2) in pixels.

    Of all paths that are made of shifts between faces of neighboring frames, the one that explains most faces and
    costs least, found by dynamic programming.
    """
    typical = float(np.median(seen.sizes))
    total, speeds = np.zeros(1), np.zeros((1, 2))
    shifts, came_from = [], []
    for old, new in pairwise(groups):
        jerk_cost = max(CAMERA_JERK_COST, CAMERA_JERK_SHARE * min(len(old), len(new)))
        steps = (seen.frames[new[0]] - seen.frames[old[0]]) / step
        # The best speeds so far too: a motion goes on though nobody is found in both of these frames.
        kept = speeds[np.argsort(-total, kind="stable")[:CAMERA_FACES]] * typical * steps
        found, gains = _camera_shifts(seen.take(old), seen.take(new), kept)
        faster = found / (typical * steps)
        speed_costs = np.minimum(CAMERA_SPEED_COST * np.linalg.norm(faster, axis=1), MAX_CAMERA_SPEED_COST)
        gains = gains - np.where(gains <= 1.0, speed_costs, 0.0)
        jerks = np.linalg.norm(faster[:, None] - speeds, axis=2)
        through = total - jerk_cost * np.minimum(jerks, 1.0)
        came_from.append(through.argmax(axis=1))
        total, speeds = gains + through.max(axis=1), faster
        shifts.append(found)
    path = np.zeros((len(groups), 2))
    total = total - 0.25 * CAMERA_JERK_COST * np.minimum(np.linalg.norm(speeds, axis=1), 1.0)
    best = int(total.argmax())
    for at in range(len(shifts) - 1, -1, -1):
        path[at + 1] = _mean_shift(seen.take(groups[at]), seen.take(groups[at + 1]), shifts[at][best])
        best = int(came_from[at][best])
    return path.cumsum(axis=0)


def _camera_shifts(old: _Sightings, new: _Sightings, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shifts that the camera may have made between two frames, (n, 2) in pixels, none being the first, and how many
    faces each explains, (n,): one that is a face size off counts nothing, one that is on the spot counts 1."""
    between = new.places[:, None] - old.places
    growth = np.maximum(new.sizes[:, None] / old.sizes, old.sizes / new.sizes[:, None])
    alike = growth <= CAMERA_GROWTH
    large = [np.argsort(-part.sizes, kind="stable")[:CAMERA_FACES] for part in (new, old)]
    shifts = np.concatenate([np.zeros((1, 2)), between[np.ix_(*large)][alike[np.ix_(*large)]], kept])
    off = _distances(between - shifts[:, None, None], new.sizes[:, None], old.sizes)
    explained = np.where(alike, np.clip(1 - off, 0, None), 0).max(axis=2)
    return shifts, explained.sum(axis=1)


def _mean_shift(old: _Sightings, new: _Sightings, shift: np.ndarray) -> np.ndarray:
    """The mean shift of the faces that one explains, (2,) in pixels; itself, if these are fewer than two: what one face
    does besides is its own."""
    between = new.places[:, None] - old.places
    off = _distances(between - shift, new.sizes[:, None], old.sizes)
    matched = _assign(np.where(off <= NEAR / 2, off, np.inf))
    if len(matched) < 2:
        return shift
    return np.mean([between[pair] for pair in matched.items()], axis=0)


def _distances(shifts: np.ndarray, sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Lengths of (..., 2) shifts in sizes of the larger face."""
    return np.linalg.norm(shifts, axis=-1) / np.maximum(sizes, others)


def _assign(costs: np.ndarray) -> dict[int, int]:
    """The cheapest one-to-one assignment of rows to columns: row -> column, without those whose cost is infinite."""
    finite = np.isfinite(costs)
    rows, columns = linear_sum_assignment(np.where(finite, costs, _NEVER))
    return {int(row): int(column) for row, column in zip(rows, columns) if finite[row, column]}
