"""Faces are linked by where they are, however the frames are ordered."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.faces.tracking import SURE, drop_strays, track_faces
from deepfake.media.video import SpreadFrames, iter_spread
from deepfake.prediction.face_collector import FaceCollector, FaceSource, FaceView


def box(x: float, y: float, size: float = 100):
    return x, y, x + size, y + size


def test_two_people_who_move_stay_apart():
    faces = [(frame, 0, box(x + frame * 4, 50)) for frame in range(0, 60, 10) for x in (0, 300)]
    assert track_faces(faces) == [0, 1] * 6


def test_they_are_counted_from_left_to_right():
    assert track_faces([(0, 0, box(500, 0)), (0, 0, box(20, 90)), (9, 0, box(510, 0))]) == [1, 0, 1]


def test_a_person_who_was_away_is_known_again():
    faces = [(0, 0, box(0, 0)), (0, 0, box(400, 0)), (10, 0, box(400, 0)), (20, 0, box(400, 0)), (30, 0, box(30, 0))]
    assert track_faces(faces) == [0, 1, 1, 1, 0]


def test_far_away_or_of_another_size_is_somebody_else():
    assert track_faces([(0, 0, box(0, 0)), (1, 0, box(150, 0))]) == [0, 1]
    assert track_faces([(0, 0, box(0, 0)), (45, 0, box(150, 0))]) == [0, 0], "in more time one gets farther"
    assert track_faces([(0, 0, box(0, 0)), (1, 0, box(0, 0, 210))]) == [0, 1]


def test_what_several_recipes_found_is_one_person():
    faces = [(0, 0, box(0, 0)), (0, 0, box(300, 0)), (0, 1, box(305, 2)), (9, 1, box(3, 0)), (9, 0, box(1, 0))]
    assert track_faces(faces) == [0, 1, 1, 0, 0]


def test_nobody_has_two_faces_in_a_frame():
    assert track_faces([(0, 0, box(0, 0)), (5, 0, box(10, 0)), (5, 0, box(60, 0))]) == [0, 0, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 900), st.integers(0, 500), st.integers(0, 300)),
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_any_faces_in_any_order(values, shuffler: random.Random):
    faces = [(frame, source, box(x, y, size)) for frame, source, x, y, size in dict.fromkeys(values)]
    found = track_faces(faces)
    assert set(found) == set(range(len(set(found))))
    seen = [(frame, source, person) for (frame, source, _), person in zip(faces, found)]
    assert len(set(seen)) == len(seen), "a person has one face in a frame and source"
    order = list(range(len(faces)))
    shuffler.shuffle(order)
    if len({face[:2] + face[2][:1] for face in faces}) == len(faces):  # no ties to break
        assert track_faces([faces[i] for i in order]) == [found[i] for i in order]


def test_who_is_seen_once_by_an_unsure_detector_is_nobody():
    persons, frames = [0, 1, 2, 3, 1, 3, 1], [0, 0, 0, 5, 5, 9, 9]
    assert drop_strays(persons, frames, [0.8, 0.8, SURE, 0.8, 0.8, 0.9, 0.8]) == [None, 0, 1, None, 0, None, 0]
    assert drop_strays(persons, frames, [None] * 7) == persons, "a detector without confidences"
    assert drop_strays(persons, frames, [0.8, 0.8, 0.8, 0.8, 0.8, SURE, 0.8])[3] == 1, "sure of one of two"


def test_where_nobody_is_seen_often_everybody_is_kept():
    assert drop_strays([0, 1, 0], [0, 0, 5], [0.8, 0.8, 0.8]) == [0, 1, 0]
    assert drop_strays([], [], []) == []
    # The same frame in two sources is one frame.
    assert drop_strays([0, 0, 0, 1], [0, 0, 5, 5], [0.8] * 4) == [0, 0, 0, 1]


def test_false_detections_of_a_real_clip_are_nobody(mini_dfdc):
    source = FaceSource(frames=SpreadFrames(32))
    clip = mini_dfdc / "dfdc_train_part_3" / "s18.mp4"
    late = (frame for frame in iter_spread(clip, 32, threads=1) if frame.index > 110)
    found = FaceCollector([FaceView(source, 64)]).collect(late).found[source]
    linked = track_faces([(face.frame, 0, face.face.box) for face in found])
    assert len(set(linked)) == 2, "a shoulder before a plant is taken for a face, twice"
    kept = drop_strays(linked, [face.frame for face in found], [face.face.score for face in found])
    assert set(kept) == {0, None} and kept.count(None) == 2


SIZE = 100.0


def scene(places, *, camera=None, walk=None, seen=None, zoom=None, frames=24, step=10, seed=0):
    """Faces of people and who they are.

    Args:
        places: of each person, in face sizes.
        camera: frame number -> shift of everybody; walk: person, frame number -> that person's.
        seen: person, frame number -> whether the face is found.
        zoom: frame number -> how large everything is.
        step: frames between those that are looked at.
    """
    rng = np.random.default_rng(seed)
    faces, truth = [], []
    for k in range(frames):
        for person, place in enumerate(places):
            if seen is not None and not seen(person, k):
                continue
            scale = zoom(k) if zoom else 1.0
            moved = np.add(camera(k) if camera else (0, 0), walk(person, k) if walk else (0, 0))
            x, y = (np.add(place, moved) + rng.normal(0, 0.03, 2)) * SIZE * scale
            size = SIZE * scale * np.exp(rng.normal(0, 0.03))
            faces.append((k * step, 0, (x - size / 2, y - size / 2, x + size / 2, y + size / 2)))
            truth.append(person)
    return faces, truth


def assert_told_apart(faces, truth):
    found = track_faces(faces)
    pairs = set(zip(found, truth))
    assert len(pairs) == len(set(found)) == len(set(truth)), sorted(pairs)


ROW = [(0, 0), (1.3, 0.4), (3.1, -0.2), (5.5, 0.1)]


@pytest.mark.parametrize("step", [3, 10, 30])
@pytest.mark.parametrize("people", [1, 2, 4])
@pytest.mark.parametrize("speed", [-4.0, -1.7, -0.7, 0.4, 1.0, 2.3, 3.5])
def test_a_camera_that_pans_leaves_everybody_the_same(speed, people, step):
    assert_told_apart(*scene(ROW[:people], camera=lambda k: (speed * k, 0.2 * k), step=step))


@pytest.mark.parametrize("people", [1, 2, 4])
@pytest.mark.parametrize("speed", [0.7, 1.5, 3.0])
def test_a_pan_that_begins_and_ends_does_too(speed, people):
    assert_told_apart(*scene(ROW[:people], camera=lambda k: (speed * np.clip(k - 6, 0, 10), 0)))


def now_and_then(share, people, seed):
    """Who is found when: everybody is missed in that share of the frames."""
    missed = np.random.default_rng(seed).random((people, 24)) < share
    return lambda person, k: not missed[person, k]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("people", "speed"), [(2, 2.5), (3, 1.5), (4, 0.5), (4, 2.5)])
def test_faces_that_are_missed_in_a_pan_are_linked_over_the_gap(people, speed, seed):
    seen = now_and_then(0.1, people, seed)
    assert_told_apart(*scene(ROW[:people], camera=lambda k: (speed * k, 0), seen=seen, seed=seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("people", "reach"), [(1, 0.3), (2, 0.3), (4, 0.3), (4, 0.6), (4, 2.0)])
def test_a_shaking_camera_leaves_everybody_the_same(people, reach, seed):
    shake = np.random.default_rng(seed).uniform(-reach, reach, (24, 2))
    assert_told_apart(*scene(ROW[:people], camera=lambda k: shake[k], seed=seed))


@pytest.mark.parametrize("people", [1, 2, 4])
@pytest.mark.parametrize("growth", [0.93, 1.03, 1.08])
def test_a_zoom_leaves_everybody_the_same(growth, people):
    assert_told_apart(*scene(ROW[:people], zoom=lambda k: growth**k, frames=12))


@pytest.mark.parametrize("hidden", [0, 0.7])
@pytest.mark.parametrize("speed", [0.1, 0.2, 0.4, 0.6])
def test_two_who_cross_slowly_keep_who_they_are(speed, hidden):
    """Whoever is behind is not found while they are closer than `hidden` face sizes."""
    start = -speed * 12.3

    def walk(person, k):
        return (speed * k * (1 if person == 0 else -1), 0)

    def seen(person, k):
        return person == 1 or abs(2 * (start + speed * k)) >= hidden

    assert_told_apart(*scene([(start, 0), (-start, 0.05)], walk=walk, seen=seen))


@pytest.mark.parametrize("step", [3, 10, 15])
@pytest.mark.parametrize("distance", [1.3, 2.0, 4.0])
def test_who_leaves_while_another_enters_is_not_the_other(distance, step):
    def seen(person, k):
        return person == 1 or (k < 12) == (person == 0)

    apart = [(0, 0), (distance, 0), (2 * distance, 0)]
    assert_told_apart(*scene(apart, seen=seen, step=step))
    assert_told_apart(*scene([apart[0], (99, 0), apart[1]], seen=lambda person, k: person != 1 and seen(person, k)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("step", [10, 45, 300])
def test_people_side_by_side_who_are_missed_now_and_then_stay_apart(step, seed):
    assert_told_apart(*scene(ROW[:3], seen=now_and_then(0.3, 3, seed), step=step, seed=seed))


@pytest.mark.parametrize("speed", [0.7, 1.4, 2.5])
def test_who_runs_past_people_who_stand_is_one_person(speed):
    def walk(person, k):
        return (speed * k if person == 4 else 0, 0)

    assert_told_apart(*scene([*ROW, (-speed * 12, 1.8)], walk=walk))
    assert_told_apart(*scene([(0, 0)], walk=lambda _, k: (speed * k, 0)))


def test_two_who_run_in_opposite_directions_are_two():
    def walk(person, k):
        return ({2: 1.2, 3: -1.4}.get(person, 0) * k, 0)

    assert_told_apart(*scene([(-6, 0), (6, 0), (-14, 1.5), (15, -1.5)], walk=walk))


@pytest.mark.parametrize(("speed", "frames", "width"), [(8, 32, 1088), (-10, 20, 1000)])
def test_real_people_in_a_window_that_moves_are_the_same_as_in_the_whole_picture(mini_dfdc, speed, frames, width):
    """By the real detector: its boxes in the window are linked as they would be without the window's motion."""
    (street,) = mini_dfdc.glob("*/video.mp4")
    source = FaceSource(frames=SpreadFrames(frames))
    lefts = {}

    def moved():
        for frame in iter_spread(street, frames, threads=1):
            last = frame.image.shape[1] - width
            left = lefts[frame.index] = int(np.clip((0 if speed > 0 else last) + speed * frame.index, 0, last))
            yield replace(frame, image=frame.image[:, left : left + width].copy())

    found = FaceCollector([FaceView(source, 64)]).collect(moved()).found[source]
    in_window = [(face.frame, 0, face.face.box) for face in found]
    whole = [(frame, 0, (x1 + lefts[frame], y1, x2 + lefts[frame], y2)) for frame, _, (x1, y1, x2, y2) in in_window]
    persons = track_faces(in_window)
    assert persons == track_faces(whole)
    assert len(found) > 40 and sum(persons.count(person) >= 6 for person in set(persons)) >= 3
