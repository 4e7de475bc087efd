"""Pictures: the published resize and pad, and files that are read as they were written."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.media.image_headers import header_size
from deepfake.media.images import (
    ImageError,
    center_pad,
    decode_gray,
    decode_image,
    encode_image,
    fit_square,
    fitted_part,
    isotropic_resize,
    read_gray,
    read_image,
    write_image,
)

SIDE = st.integers(1, 700)
TARGET = st.sampled_from([16, 64, 224, 299, 380])


def smooth_picture(height: int, width: int) -> np.ndarray:
    """An RGB picture with three different channels that lossy codecs keep well."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack(
        [rows * 255 // height, columns * 255 // width, (rows + columns) * 120 // (height + width)], -1
    ).astype(np.uint8)


@given(SIDE, SIDE, TARGET)
def test_the_longer_side_becomes_the_size_and_the_shorter_is_cut(height, width, size):
    image = np.zeros((height, width, 3), np.uint8)
    scale = size / max(height, width)
    expected = (max(int(height * scale), 1), size) if width > height else (size, max(int(width * scale), 1))
    assert isotropic_resize(image, size).shape == (*expected, 3)


@pytest.mark.parametrize(("height", "width", "filter"), [(300, 200, cv2.INTER_AREA), (50, 90, cv2.INTER_CUBIC)])
def test_area_down_and_cubic_up(height, width, filter):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours = isotropic_resize(image, 128)
    assert np.array_equal(ours, cv2.resize(image, ours.shape[1::-1], interpolation=filter))


def test_filters_can_be_chosen():
    image = np.random.default_rng(0).integers(0, 256, (90, 50, 3), dtype=np.uint8)
    up = isotropic_resize(image, 128, up=cv2.INTER_LINEAR)
    down = isotropic_resize(image, 64, down=cv2.INTER_LINEAR)
    assert np.array_equal(up, cv2.resize(image, (int(50 * 128 / 90), 128), interpolation=cv2.INTER_LINEAR))
    assert np.array_equal(down, cv2.resize(image, (int(50 * 64 / 90), 64), interpolation=cv2.INTER_LINEAR))


def test_a_picture_that_fits_is_kept():
    image = smooth_picture(64, 20)
    assert isotropic_resize(image, 64) is image
    assert center_pad(smooth_picture(64, 64), 64).shape == (64, 64, 3)


@given(st.integers(1, 64), st.integers(1, 64), st.booleans())
def test_padding_is_black_and_the_picture_in_the_center(height, width, gray):
    image = np.full((height, width) if gray else (height, width, 3), 200, np.uint8)
    square = center_pad(image, 64)
    assert square.shape == (64, 64, *image.shape[2:]) and square.dtype == np.uint8
    top, left = (64 - height) // 2, (64 - width) // 2
    assert (square[top : top + height, left : left + width] == 200).all()
    assert square.sum(dtype=int) == image.sum(dtype=int), "nothing but black outside"


@given(SIDE, SIDE, TARGET)
def test_fit_square_resizes_then_pads(height, width, size):
    image = np.full((height, width, 3), 255, np.uint8)
    square = fit_square(image, size)
    assert square.shape == (size, size, 3)
    assert np.array_equal(square, center_pad(isotropic_resize(image, size), size))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_files_keep_the_picture_and_the_order_of_channels(tmp_path, suffix):
    path = tmp_path / f"größe 人{suffix}"
    image = smooth_picture(61, 83)
    write_image(path, image)
    back = read_image(path)
    assert back.shape == image.shape and back.dtype == np.uint8
    difference = np.abs(back.astype(int) - image)
    if suffix == ".png":
        assert difference.max() == 0
    else:
        assert difference.mean() < 3
    # The file itself is in the order that every other program expects.
    bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(bgr[..., ::-1], back)


def test_gray_files(tmp_path):
    image = smooth_picture(40, 30)[..., 0]
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_gray(tmp_path / "a.png"), image)
    assert read_image(tmp_path / "a.png").shape == (40, 30, 3)


def test_views_are_written_like_copies():
    """Crops are windows of a frame."""
    frame = np.random.default_rng(0).integers(0, 256, (90, 80, 3), dtype=np.uint8)
    for view in (frame[10:50, 20:70], frame[10:50, 20:70, 1]):
        assert encode_image(view, ".png") == encode_image(view.copy(), ".png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("kept", [0, 0.01, 0.5, 0.99])
def test_a_truncated_picture_is_an_error(tmp_path, suffix, kept):
    path = tmp_path / f"a{suffix}"
    data = encode_image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), suffix)
    path.write_bytes(data[: int(len(data) * kept)])
    for read in (read_image, read_gray):
        with pytest.raises(ImageError, match=rf"a\{suffix}: (not a picture, or truncated|the file is empty)"):
            read(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_crops_are_what_opencv_decodes(tmp_path, suffix):
    """To the byte: networks are trained on that."""
    image = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    data = encode_image(image, suffix)
    (tmp_path / f"a{suffix}").write_bytes(data)
    values = np.frombuffer(data, np.uint8)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), cv2.imdecode(values, cv2.IMREAD_COLOR)[..., ::-1])
    assert np.array_equal(read_gray(tmp_path / f"a{suffix}"), cv2.imdecode(values, cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(decode_image(data, "a"), decode_image(values, "a"))
    assert header_size(data) == (83, 61)


def test_crops_over_the_limit_are_refused_by_their_header():
    for suffix, at, size in ((".png", 16, b"\0\0\x4e\x20" * 2), (".webp", 26, b"\xff\x3f" * 2)):
        data = bytearray(encode_image(smooth_picture(40, 30), suffix))
        data[at : at + len(size)] = size
        with pytest.raises(ImageError, match=r"crop\.x: \d+ x \d+ pixels; at most 67,108,864"):
            decode_image(bytes(data), "crop.x")
    data = bytearray(encode_image(smooth_picture(40, 30), ".jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\x7d\0" * 2
    with pytest.raises(ImageError, match="32000 x 32000 pixels"):
        decode_gray(bytes(data), "crop.x")


def test_other_files_are_errors_that_name_them(tmp_path):
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(ImageError, match=r"a\.png: not a picture"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"b\.png: no such file"):
        read_image(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path, tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(ImageError, match="not a regular file"):
            read_image(path)


def test_pictures_that_cannot_be_written(tmp_path):
    image = smooth_picture(8, 8)
    with pytest.raises(ImageError, match=r"'\.gif' unknown; expected one of \.png, \.jpg, \.webp"):
        write_image(tmp_path / "a.gif", image)
    with pytest.raises(ImageError, match=r"shape \(0, 8, 3\)"):
        write_image(tmp_path / "a.png", image[:0])
    with pytest.raises(ImageError, match=r"shape \(0, 8\)"):
        write_image(tmp_path / "a.png", image[:0, :, 0])
    with pytest.raises(ImageError, match=r"cannot be written as \.webp"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20_000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


@given(height=st.integers(1, 90), width=st.integers(1, 90), size=st.integers(8, 64))
def test_the_fitted_part_is_the_square_without_its_padding(height, width, size):
    part = fitted_part(fit_square(np.full((height, width, 3), 200, np.uint8), size), height, width)
    assert (part == 200).all()
    assert max(part.shape[:2]) == size
    assert (fit_square(np.full((height, width, 3), 200, np.uint8), size) == 200).sum() == part.size
