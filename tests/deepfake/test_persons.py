"""Faces are linked by where they are, however the frames are ordered."""

import random

from hypothesis import given
from hypothesis import strategies as st

from deepfake.persons import link_persons


def box(x: float, y: float, size: float = 100):
    return x, y, x + size, y + size


def test_two_people_who_move_stay_apart():
    faces = [(frame, 0, box(x + frame * 4, 50)) for frame in range(0, 60, 10) for x in (0, 300)]
    assert link_persons(faces) == [0, 1] * 6


def test_they_are_counted_from_left_to_right():
    assert link_persons([(0, 0, box(500, 0)), (0, 0, box(20, 90)), (9, 0, box(510, 0))]) == [1, 0, 1]


def test_a_person_who_was_away_is_known_again():
    faces = [(0, 0, box(0, 0)), (0, 0, box(400, 0)), (10, 0, box(400, 0)), (20, 0, box(400, 0)), (30, 0, box(30, 0))]
    assert link_persons(faces) == [0, 1, 1, 1, 0]


def test_far_away_or_of_another_size_is_somebody_else():
    assert link_persons([(0, 0, box(0, 0)), (1, 0, box(150, 0))]) == [0, 1]
    assert link_persons([(0, 0, box(0, 0)), (45, 0, box(150, 0))]) == [0, 0], "in more time one gets farther"
    assert link_persons([(0, 0, box(0, 0)), (1, 0, box(0, 0, 210))]) == [0, 1]


def test_what_several_recipes_found_is_one_person():
    faces = [(0, 0, box(0, 0)), (0, 0, box(300, 0)), (0, 1, box(305, 2)), (9, 1, box(3, 0)), (9, 0, box(1, 0))]
    assert link_persons(faces) == [0, 1, 1, 0, 0]


def test_nobody_has_two_faces_in_a_frame():
    assert link_persons([(0, 0, box(0, 0)), (5, 0, box(10, 0)), (5, 0, box(60, 0))]) == [0, 0, 1]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 900), st.integers(0, 500), st.integers(0, 300)),
        max_size=25,
    ),
    st.randoms(use_true_random=False),
)
def test_any_faces_in_any_order(values, shuffler: random.Random):
    faces = [(frame, source, box(x, y, size)) for frame, source, x, y, size in dict.fromkeys(values)]
    found = link_persons(faces)
    assert set(found) == set(range(len(set(found))))
    seen = [(frame, source, person) for (frame, source, _), person in zip(faces, found)]
    assert len(set(seen)) == len(seen), "a person has one face in a frame and source"
    order = list(range(len(faces)))
    shuffler.shuffle(order)
    if len({face[:2] + face[2][:1] for face in faces}) == len(faces):  # no ties to break
        assert link_persons([faces[i] for i in order]) == [found[i] for i in order]
