"""Pictures with damaged bytes: an image or one clear error, never a crash, noise or much memory."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from deepfake.synthesis.portraits import read_portrait
from tests.data.heic import write_heic

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 900

READ = """
import resource, sys
from pathlib import Path
from deepfake.media.images import ImageError, read_image
from deepfake.media.image_files import iter_image, probe_image
from tests.data.mutations import mutated

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
number, *paths = sys.argv[1:]
good = bad = 0
for path, index in ((Path(path), index) for path in paths for index in range(int(number))):
    broken = path.with_name(f"broken_{path.name}")
    broken.write_bytes(mutated(path.read_bytes(), index))
    print(path.name, index, flush=True)
    try:
        info = probe_image(broken)
        assert info.width * info.height <= 2**26, info
        for number_of_frame, (seconds, image) in enumerate(iter_image(broken, damage=[])):
            assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == "uint8" and image.size > 0
            assert 0 <= seconds < 1e9
            if number_of_frame >= 20:
                break
        good += 1
    except ImageError as error:
        bad += 1
        message = str(error)
        assert message.startswith(f"{broken}: ") and "\\n" not in message and "0x" not in message, message
    try:
        read_image(broken)
    except ImageError as error:
        assert str(error).startswith(f"{broken}: ") and "opencv" not in str(error), str(error)
print(f"{good} read, {bad} refused")
"""


def make_jpeg(path: Path, image: Image.Image, **options) -> None:
    exif = Image.Exif()
    exif[274] = 6
    image.save(path, quality=90, exif=exif, **options)


MAKE = {
    "jpeg": lambda path, image: make_jpeg(path.with_suffix(".jpg"), image),
    "progressive": lambda path, image: make_jpeg(path.with_suffix(".jpg"), image, progressive=True),
    "png": lambda path, image: image.save(path.with_suffix(".png")),
    "palette": lambda path, image: image.quantize(16).save(path.with_suffix(".png"), transparency=3),
    "apng": lambda path, image: animate(path.with_suffix(".png"), image),
    "webp": lambda path, image: image.convert("RGBA").save(path.with_suffix(".webp"), quality=80),
    "lossless": lambda path, image: image.save(path.with_suffix(".webp"), lossless=True),
    "awebp": lambda path, image: animate(path.with_suffix(".webp"), image),
    "bmp": lambda path, image: image.save(path.with_suffix(".bmp")),
    "tiff": lambda path, image: image.save(path.with_suffix(".tiff"), compression="tiff_lzw"),
    "tiff_jpeg": lambda path, image: image.save(path.with_suffix(".tiff"), compression="jpeg"),
    "tiff16": lambda path, image: cv2.imwrite(
        str(path.with_suffix(".tiff")), np.asarray(image.convert("L")).astype(np.uint16) * 257
    ),
    "gif": lambda path, image: animate(path.with_suffix(".gif"), image),
    "avif": lambda path, image: image.save(path.with_suffix(".avif")),
    "avifs": lambda path, image: animate(path.with_suffix(".avif"), image),
}


def animate(path: Path, image: Image.Image) -> None:
    turned = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]
    image.save(path, save_all=True, append_images=turned, duration=[100, 50, 200])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, ffmpeg) -> list[Path]:
    """A small picture in every format that is read, animations too."""
    folder = tmp_path_factory.mktemp("pictures")
    image = Image.fromarray(cv2.resize(read_portrait("hopper"), (96, 80), interpolation=cv2.INTER_AREA))
    for name, make in MAKE.items():
        if features.check("avif") or not name.startswith("avif"):
            make(folder / name, image)
    write_heic(folder / "heic.heic", np.asarray(image), ffmpeg)
    return sorted(folder.iterdir())


def read_damaged(pictures: list[Path], number: int) -> tuple[int, int]:
    """Reads each picture with `number` damages in a process of its own; returns how many were read, and refused."""
    command = [sys.executable, "-c", READ, str(number), *map(str, pictures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=ROOT)
    *_, last = done.stdout.splitlines()
    assert done.returncode == 0, f"{last}: {done.returncode}\n{done.stderr[-3000:]}"
    for noise in ("opencv", "tempfile.tif", "LZWDecode", "JPEGLib", "UserWarning"):
        assert noise not in done.stderr
    read, refused = (int(word) for word in last.split() if word.isdecimal())
    return read, refused


def test_damaged_pictures(pictures):
    assert len(pictures) >= 14
    read, refused = read_damaged(pictures, 20)
    assert read > 2 * len(pictures) and refused > 2 * len(pictures)


@pytest.mark.slow
def test_many_damaged_pictures(pictures):
    read_damaged(pictures, 250)
