"""Files that users upload."""

import struct
from pathlib import Path

import cv2
import pytest

from tests.data.clips import cut, draw, gradient


@pytest.fixture(scope="package")
def files(mini_dfdc, tmp_path_factory) -> Path:
    """What users upload."""
    folder = tmp_path_factory.mktemp("files")
    source = mini_dfdc / "dfdc_train_part_1" / "d0.mp4"
    cut(source, folder / "clip.mp4", 3)
    capture = cv2.VideoCapture(str(source))
    _, image = capture.read()
    cv2.imwrite(str(folder / "face.jpg"), image)
    draw(folder / "faceless.mp4", gradient(4))
    draw(folder / "long.mp4", gradient(5), 1)
    (folder / "garbage.mp4").write_bytes(b"this is no video\n" * 100)
    sizes = struct.pack("<IiiHHIIiiII", 40, 32767, 32767, 1, 8, 1, 0, 0, 0, 256, 0)  # run lengths: two bytes of data
    (folder / "bomb.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 1000, 0, 0, 1078) + sizes + bytes(1024) + b"\0\1")
    (folder / "empty.mp4").touch()
    data = (folder / "clip.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(data[: len(data) // 2])
    (folder / "large.mp4").write_bytes(bytes(3 << 20))
    return folder
