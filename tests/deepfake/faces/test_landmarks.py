"""The landmark file."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deepfake.faces.landmarks import LEFT_EYE, MOUTH_LEFT, MOUTH_RIGHT, NOSE, RIGHT_EYE, read_landmarks, write_landmarks

POINTS = hnp.arrays(np.float64, (5, 2), elements=st.floats(-2000, 9000))


@given(POINTS)
def test_points_are_rounded_and_read_back(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("landmarks") / "0_0.npy"
    write_landmarks(path, points)
    back = read_landmarks(path)
    assert back.dtype == np.int16 and back.shape == (5, 2)
    assert np.abs(back - points).max() <= 0.5
    # The published code reads the same file with np.load.
    assert np.array_equal(np.load(path, allow_pickle=False), back)


def test_the_order_of_points():
    assert (LEFT_EYE, RIGHT_EYE, NOSE, MOUTH_LEFT, MOUTH_RIGHT) == (0, 1, 2, 3, 4)


def saved(array: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    return data.getvalue()


def archive() -> bytes:
    data = io.BytesIO()
    np.savez(data, np.zeros((5, 2), np.int16))
    return data.getvalue()


GOOD = saved(np.zeros((5, 2), np.int16))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        GOOD[:-1],
        GOOD[:20],
        GOOD[:6],
        archive(),
        GOOD.replace(b"{", b"("),
        *(GOOD[:length] for length in (10, 60, 100, 127, 128, 140)),
        GOOD.replace(b"'shape'", b"'shap' "),
        GOOD[:6] + b"\x02\x00" + GOOD[8:],
    ],
    ids=[
        "empty",
        "text",
        "truncated",
        "half a header",
        "magic only",
        "archive",
        "broken header",
        *(f"cut to {length}" for length in (10, 60, 100, 127, 128, 140)),
        "no shape",
        "version 2",
    ],
)
def test_other_files_are_errors_that_name_them(tmp_path, content):
    (tmp_path / "0_0.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"0_0\.npy: not a landmark file"):
        read_landmarks(tmp_path / "0_0.npy")


@pytest.mark.parametrize(
    "array", [np.zeros((2, 5), np.int16), np.zeros(10, np.int16), np.zeros((5, 2)), np.zeros((5, 2), object)]
)
def test_arrays_of_another_kind(tmp_path, array):
    (tmp_path / "0_0.npy").write_bytes(saved(array))
    with pytest.raises(ValueError, match=r"0_0\.npy: holds .*; expected int16 of \(5, 2\)"):
        read_landmarks(tmp_path / "0_0.npy")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"0_0\.npy: not a landmark file: .*No such file"):
        read_landmarks(tmp_path / "0_0.npy")


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (10**12, 2)})
    (tmp_path / "0_0.npy").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match=r"0_0\.npy: holds int16 of shape \(1000000000000, 2\)"):
        read_landmarks(tmp_path / "0_0.npy")


@pytest.mark.parametrize("kind", [">i2", "<i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_order_in_memory_is_read(tmp_path, kind, order):
    points = np.arange(10).reshape(5, 2)
    (tmp_path / "0_0.npy").write_bytes(saved(np.array(points, kind, order=order)))
    if kind == "<i2":
        assert np.array_equal(read_landmarks(tmp_path / "0_0.npy"), points)
    else:
        with pytest.raises(ValueError, match="expected int16"):
            read_landmarks(tmp_path / "0_0.npy")
