"""The memory that the whole service takes for the uploads that take the most within its limits."""

import contextlib
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from serving.upload_options import UploadOptions
from tests.data.clips import ffmpeg
from tests.data.service_process import serving

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited and measured on Linux alone"),
]

MOST_MEMORY = 1_500_000_000
"""Bytes of the service and its reading process, mapped libraries included."""

AT_4K, LARGEST = (3840, 2160), (5456, 3072)

VIDEOS = {
    "hevc10.mp4": (18, AT_4K, "libx265 -x265-params log-level=0:ref=5:bframes=8:rc-lookahead=12 -pix_fmt yuv420p10le"),
    "references.mp4": (20, AT_4K, "libx264 -x264-params ref=16:bframes=0 -pix_fmt yuv420p"),
    "yuv444.mp4": (8, AT_4K, "libx264 -x264-params ref=4:bframes=3 -pix_fmt yuv444p"),
    "interlaced.mp4": (8, AT_4K, "libx264 -x264-params ref=4:interlaced=1 -flags +ildct+ilme -pix_fmt yuv420p"),
    "largest.mp4": (20, LARGEST, "libx264 -x264-params ref=16:bframes=0 -pix_fmt yuv420p10le"),
    "largest.mkv": (3, LARGEST, "ffv1 -pix_fmt rgba64le"),
    "largest.avi": (3, LARGEST, "mjpeg -q:v 3 -pix_fmt yuvj444p"),
}
"""Name -> frames, size, encoder."""

PICTURES = ("still.jpg", "still.png", "still.webp", "still.avif", "moving.png", "moving.webp", "moving.gif")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("memory")) as running:
        yield running


def encode(name, out):
    frames, (width, height), encoder = VIDEOS[name]
    preset = ("-preset", "ultrafast") if encoder.startswith("libx26") else ()
    pictures = ("-f", "lavfi", "-i", f"testsrc2=size={width}x{height}", "-frames:v", frames)
    ffmpeg(*pictures, "-c:v", *encoder.split(), *preset, out)


def save(name, out):
    """Draw a picture, transparent where its format can be, or an animation of three."""
    coarse = np.random.default_rng(0).integers(0, 256, (48, 86, 4), np.uint8)
    picture = Image.fromarray(cv2.resize(coarse, LARGEST, interpolation=cv2.INTER_CUBIC))
    if out.suffix in (".jpg", ".avif"):
        picture = picture.convert("RGB")
    elif out.suffix == ".gif":
        picture = picture.getchannel(0)  # choosing a palette of so many pixels takes most of a minute
        picture.putpalette(coarse.reshape(-1, 4)[:256, :3].tobytes())
    moving = {"save_all": True, "append_images": [picture.rotate(180), picture]} if name.startswith("moving") else {}
    fast = {".png": {"compress_level": 1}, ".webp": {"method": 0}, ".avif": {"speed": 10}}
    picture.save(out, **moving, **fast.get(out.suffix, {}))


def memory_of(root):
    """Return the bytes that a process and its children hold: anonymous pages once, and one process's mapped files, of
    which the others map parts."""
    anonymous, mapped = 0, 0
    for process in (root, *root.children()):
        with contextlib.suppress(OSError, psutil.Error):
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
            found = {line.split()[0]: int(line.split()[1]) << 10 for line in lines}
            anonymous += found["Pss_Anon:"]
            mapped = max(mapped, found["Rss:"] - found["Anonymous:"])
    return anonymous + mapped


def peak_of(server, file):
    """Return the answer to an upload, and the most memory that the service held meanwhile."""
    root, most = psutil.Process(server.process.pid), 0
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(server.predict, file)
        while not asked.done():
            most = max(most, memory_of(root))
            time.sleep(0.01)
    return asked.result(), most


@pytest.mark.parametrize("name", [*VIDEOS, *PICTURES])
def test_the_largest_uploads_stay_below_the_bound(server, tmp_path, name):
    assert UploadOptions.max_pixels * 0.99 < math.prod(LARGEST) <= UploadOptions.max_pixels
    file = tmp_path / name
    (encode if name in VIDEOS else save)(name, file)
    reply, most = peak_of(server, file)
    print(f"{name}: {most / 1e9:.2f} GB")
    assert most < MOST_MEMORY
    if not name.startswith("largest"):
        assert reply.status == 200 and reply.json()["status"] == "no_face", reply.body
    else:
        assert reply.status == 200 or "of memory, the limit" in reply.json()["detail"]


def test_a_bomb_takes_no_more(server, files):
    reply, most = peak_of(server, files / "bomb.bmp")
    assert reply.status == 415 and most < MOST_MEMORY
