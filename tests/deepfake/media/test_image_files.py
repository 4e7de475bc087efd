"""Picture files: as a viewer shows them, whatever they are called, and nothing that takes the machine."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, features

from deepfake.media.image_files import _PILLOW, ImageInfo, image_format, iter_image, probe_image, sniff_image
from deepfake.media.images import ImageError
from deepfake.synthesis.portraits import read_portrait
from tests.data.heic import write_heic

HEIGHT, WIDTH = 400, 320
NEED_AVIF = pytest.mark.skipif(not features.check("avif"), reason="this build of Pillow reads no AVIF")

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a picture is stored that an EXIF orientation shows upright."""


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A portrait: detail everywhere, no two corners alike."""
    return np.ascontiguousarray(read_portrait("hopper")[80 : 80 + HEIGHT, 100 : 100 + WIDTH])


@pytest.fixture
def saved(tmp_path, photo):
    """`saved("a.png", ...)` writes the photo, or another Pillow picture, with Pillow's options."""

    def save(name: str, image: Image.Image | None = None, **options: object) -> Path:
        (Image.fromarray(photo) if image is None else image).save(tmp_path / name, **options)
        return tmp_path / name

    return save


def read_one(path: Path, **options) -> np.ndarray:
    """The only frame of a picture, shown at 0 and of the size that its header says."""
    ((seconds, image),) = iter_image(path, **options)
    assert seconds == 0
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return image


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean difference, in levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def by_opencv(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


# Formats.


@pytest.mark.parametrize(
    ("name", "options", "found", "tolerance"),
    [
        ("a.png", {}, "PNG", 0),
        ("a.jpg", {"quality": 97}, "JPEG", 1.2),
        ("a.jpeg", {"quality": 97, "progressive": True}, "JPEG", 1.2),
        ("a.webp", {"lossless": True}, "WebP", 0),
        ("a.WEBP", {"quality": 97}, "WebP", 2.5),
        ("a.bmp", {}, "BMP", 0),
        ("a.tif", {}, "TIFF", 0),
        ("a.tiff", {"compression": "tiff_lzw"}, "TIFF", 0),
        pytest.param("a.avif", {"quality": 95}, "AVIF", 2.5, marks=NEED_AVIF),
    ],
)
def test_formats(saved, photo, name, options, found, tolerance):
    path = saved(name, **options)
    assert image_format(path) == found
    assert probe_image(path) == ImageInfo(found, WIDTH, HEIGHT, 1)
    image = read_one(path)
    assert difference(image, photo) <= tolerance
    assert difference(image, by_opencv(path)) <= 0.5
    if found in ("JPEG", "PNG"):
        assert np.array_equal(image, by_opencv(path)), "scores of ordinary pictures stay what they were"


def test_heic(tmp_path, photo, ffmpeg):
    path = write_heic(tmp_path / "a.heic", photo, ffmpeg)
    assert probe_image(path) == ImageInfo("HEIC", WIDTH, HEIGHT, 1)
    assert difference(read_one(path), photo) < 3


def test_a_turned_heic(tmp_path, photo, ffmpeg):
    path = write_heic(tmp_path / "a.heic", np.rot90(photo, -1), ffmpeg, quarter_turns=1)
    assert probe_image(path) == ImageInfo("HEIC", WIDTH, HEIGHT, 1)
    assert difference(read_one(path), photo) < 3


def test_the_content_counts_and_not_the_name(saved, tmp_path, photo):
    path = saved("a.jpg", quality=97).rename(tmp_path / "a.png")
    assert probe_image(path).format == "JPEG"
    assert difference(read_one(path), photo) < 1.2


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", pytest.param("avif", marks=NEED_AVIF)])
def test_upright(saved, photo, suffix, orientation):
    turn = TURNS[orientation]
    stored = Image.fromarray(photo) if turn is None else Image.fromarray(photo).transpose(turn)
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(f"a.{suffix}", stored, exif=exif, quality=97)
    assert (probe_image(path).height, probe_image(path).width) == (HEIGHT, WIDTH)
    assert difference(read_one(path), photo) < 2.5


def test_a_png_whose_orientation_follows_its_pixels(saved, photo):
    exif = Image.Exif()
    exif[274] = 6
    path = saved("a.png", Image.fromarray(photo).transpose(TURNS[6]))
    data = path.read_bytes()
    chunk = png_chunk(b"eXIf", exif.tobytes()[6:])
    path.write_bytes(data[:-12] + chunk + data[-12:])
    assert np.array_equal(read_one(path), photo)


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff", "gif", "jpg", "bmp"])
def test_probing_decodes_nothing(saved, monkeypatch, suffix):
    path = saved(f"a.{suffix}")

    def load(_: object) -> None:
        raise AssertionError("decoded")

    for kind in _PILLOW.values():
        monkeypatch.setattr(kind, "load", load)
    assert probe_image(path).width == WIDTH


def test_cmyk(saved, photo):
    path = saved("a.jpg", Image.fromarray(photo).convert("CMYK"), quality=97)
    assert difference(read_one(path), photo) < 1.5
    assert difference(read_one(path), by_opencv(path)) < 1.5


def test_gray_palette_and_one_bit(saved, photo):
    gray = Image.fromarray(photo).convert("L")
    for name in ("a.png", "a.jpg", "a.tiff", "a.bmp"):
        image = read_one(saved(name, gray, quality=97))
        assert (image[..., 0] == image[..., 2]).all() and difference(image[..., 1], np.asarray(gray)) < 1
    colors = Image.fromarray(photo).quantize(64)
    assert np.array_equal(read_one(saved("a.png", colors)), np.asarray(colors.convert("RGB")))
    assert np.array_equal(read_one(saved("a.tiff", gray.convert("1")))[..., 0], np.asarray(gray.convert("1")) * 255)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("gray", [False, True])
def test_sixteen_bits_are_scaled(tmp_path, photo, suffix, gray):
    path = tmp_path / f"a.{suffix}"
    plain = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if gray else photo[..., ::-1]
    cv2.imwrite(str(path), plain.astype(np.uint16) * 257)
    expected = np.repeat(plain[..., None], 3, axis=2) if gray else photo
    assert np.array_equal(read_one(path), expected)


def test_white_is_zero(saved, photo):
    """A TIFF may count from white to black, in 16 bits as well."""
    gray = np.asarray(Image.fromarray(photo).convert("L"))
    path = saved("a.tiff", Image.fromarray(gray.astype(np.uint16) * 257), tiffinfo={262: 0})
    assert difference(read_one(path)[..., 0], 255 - gray) == 0


def test_samples_of_32_bits_are_refused(saved, photo):
    path = saved("a.tiff", Image.fromarray(photo[..., 0].astype(np.float32) / 255))
    with pytest.raises(ImageError, match=r"a\.tiff: .*32 bit samples have no known white"):
        read_one(path)


def test_transparent_parts_are_white(saved, photo):
    """As on a page; what the hidden pixels say is never looked at."""
    hidden = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    alpha = np.full(photo.shape[:2], 255, np.uint8)
    alpha[:, :100], alpha[:, 100:110] = 0, 128
    stored = np.dstack([np.where(alpha[..., None] > 0, photo, hidden), alpha])
    for name in ("a.png", "a.webp", "a.tiff", *(["a.avif"] if features.check("avif") else [])):
        image = read_one(saved(name, Image.fromarray(stored), lossless=True, quality=95))
        assert (image[:, :95] >= 250).all(), name
        assert difference(image[:, 110:], photo[:, 110:]) < 2.5
        assert difference(image[:, 102:108], (photo[:, 102:108].astype(int) + 255) // 2) < 3
    palette = Image.fromarray(photo).quantize(16)
    dark = palette.getpixel((0, 0))
    image = read_one(saved("a.png", palette, transparency=dark))
    assert (image[np.asarray(palette) == dark] == 255).all()


def test_embedded_profiles(saved, photo):
    """A profile other than sRGB is applied, as viewers do; sRGB changes nothing, and a broken one nothing."""
    plain = read_one(saved("a.png"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(read_one(saved("a.png", icc_profile=srgb)), plain)
    assert np.array_equal(read_one(saved("a.png", icc_profile=b"nonsense" * 99)), plain)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(read_one(saved("a.png", icc_profile=lab)), plain), "a profile for other channels"
    swapped = bytearray(srgb)  # red and blue change places
    for one, other in ((b"rXYZ", b"bXYZ"),):
        first, second = swapped.index(one), swapped.index(other)
        swapped[first : first + 4], swapped[second : second + 4] = other, one
    image = read_one(saved("a.png", icc_profile=bytes(swapped)))
    assert difference(image[..., ::-1], plain) < 2


def test_the_first_page_of_a_tiff(saved, photo):
    other = Image.new("RGB", (50, 40))
    path = saved("a.tiff", save_all=True, append_images=[other, other])
    assert probe_image(path) == ImageInfo("TIFF", WIDTH, HEIGHT, 1)
    assert np.array_equal(read_one(path), photo)
    notes: list[str] = []
    for _ in range(2):
        assert np.array_equal(read_one(path, damage=notes), photo)
    assert notes == ["several pictures in one file; the one that viewers show first is read"]
    assert np.array_equal(read_one(saved("b.tiff"), damage=(none := [])), photo) and none == []


def test_multi_picture_jpeg(saved, photo):
    path = saved("a.mpo", save_all=True, append_images=[Image.new("RGB", (50, 40))], quality=97)
    path = path.rename(path.with_suffix(".jpg"))
    assert probe_image(path) == ImageInfo("JPEG", WIDTH, HEIGHT, 1)
    assert difference(read_one(path), photo) < 1.2


# Animations.


def frames_of(photo: np.ndarray) -> list[Image.Image]:
    """Four pictures; the second differs from the first in one corner."""
    corner = photo.copy()
    corner[:60, :90] = 255 - corner[:60, :90]
    return [Image.fromarray(p) for p in (photo, corner, photo[:, ::-1], photo[::-1])]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", pytest.param("avif", marks=NEED_AVIF)])
def test_animations_are_their_frames(saved, photo, suffix):
    frames = frames_of(photo)
    durations = [100, 300, 40, 200]
    path = saved(
        f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=durations, lossless=True, quality=95
    )
    info = probe_image(path)
    assert (info.format.lower(), info.width, info.height, info.frames) == (suffix, WIDTH, HEIGHT, 4)
    assert info.seconds == pytest.approx(0.64)
    shown = list(iter_image(path))
    assert [seconds for seconds, _ in shown] == pytest.approx([0, 0.1, 0.4, 0.44])
    for (_, image), frame in zip(shown, frames, strict=True):
        assert difference(image, np.asarray(frame)) < (6 if suffix == "gif" else 3)


@pytest.mark.parametrize("suffix", ["gif", "png"])
def test_ffmpeg_composes_the_same_frames(saved, photo, tmp_path, ffmpeg, suffix):
    frames = frames_of(photo)
    path = saved(f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=100)
    ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", tmp_path / "raw")
    raw = np.fromfile(tmp_path / "raw", np.uint8).reshape(4, HEIGHT, WIDTH, 3)
    for (_, image), expected in zip(iter_image(path), raw, strict=True):
        assert difference(image, expected) <= 0.5


def test_instants_are_shown_as_browsers_do(saved, photo):
    frames = frames_of(photo)
    for suffix in ("gif", "png", "webp"):
        path = saved(f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=[0, 10, 20, 30])
        assert [seconds for seconds, _ in iter_image(path)] == pytest.approx([0, 0.1, 0.2, 0.22])


def test_the_default_image_of_an_animated_png_is_not_shown(saved, photo):
    frames = frames_of(photo)
    path = saved("a.png", Image.new("RGB", (WIDTH, HEIGHT)), save_all=True, append_images=frames, default_image=True)
    shown = [image for _, image in iter_image(path)]
    assert probe_image(path).frames == len(shown) == 4
    assert np.array_equal(shown[0], photo)


def test_an_animation_that_breaks_off(saved, photo):
    """Of an animated WebP its decoder gives nothing then."""
    frames = frames_of(photo)
    for suffix in ("gif", "png"):
        path = saved(f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], duration=100)
        path.write_bytes(path.read_bytes()[: -path.stat().st_size // 8])
        damage: list[str] = []
        shown = list(iter_image(path, damage=damage))
        assert 1 <= len(shown) < 4 and len(damage) == 1, suffix
        assert f"damaged: {len(shown)} of " in damage[0]
        with pytest.raises(ImageError, match="damaged"):
            list(iter_image(path))


def test_frames_are_read_one_by_one(saved, photo):
    frames = frames_of(photo)
    path = saved("a.gif", frames[0], save_all=True, append_images=frames[1:], duration=100)
    data = bytearray(path.read_bytes())
    data[-2000:] = bytes(2000)
    path.write_bytes(data)
    assert difference(next(iter_image(path))[1], photo) < 6


# Damage.


def test_a_jpeg_without_its_end(saved, photo):
    """As viewers show it: gray below the rows that are there."""
    path = saved("a.jpg", quality=97)
    whole, data = read_one(path), path.read_bytes()
    for missing, rows in ((2, HEIGHT), (300, HEIGHT - 16), (len(data) // 3, None)):
        path.write_bytes(data[:-missing])
        damage: list[str] = []
        image = read_one(path, damage=damage)
        rows = rows or int(damage[0].split("; ")[1].split()[0])
        assert damage == [f"damaged: the file's end is missing; {rows} of {HEIGHT} rows could be read"]
        assert rows >= HEIGHT // 2 and image.shape == whole.shape
        assert difference(image[: rows - 1], whole[: rows - 1]) == 0
        if rows < HEIGHT - 16:
            assert difference(image[rows + 32 :], np.full_like(image[rows + 32 :], 128)) == 0
        with pytest.raises(ImageError, match=r"a\.jpg: damaged: the file's end is missing"):
            read_one(path)


def test_less_than_half_a_jpeg_is_refused(saved):
    path = saved("a.jpg", quality=97)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(ImageError, match=r"of 400 rows could be read; get the whole file"):
        read_one(path, damage=[])


def test_a_turned_jpeg_without_its_end(saved, photo):
    exif = Image.Exif()
    exif[274] = 6
    path = saved("a.jpg", Image.fromarray(photo).transpose(TURNS[6]), quality=97, exif=exif)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    image = read_one(path, damage=[])
    half = WIDTH // 2
    assert difference(image[:, half:], photo[:, half:]) < 1.5
    assert (image[:, 0] == 128).all()


def test_a_progressive_jpeg_without_its_end(saved, photo):
    path = saved("a.jpg", quality=97, progressive=True)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    damage: list[str] = []
    assert difference(read_one(path, damage=damage), photo) < 4
    assert damage == ["damaged: the file's end is missing; 400 of 400 rows could be read"]


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tiff", pytest.param("avif", marks=NEED_AVIF)])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_other_truncated_pictures_are_errors(saved, suffix, kept):
    path = saved(f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(ImageError, match=rf"a\.{suffix}: damaged"):
        read_one(path, damage=[])


def test_decoders_write_to_the_log_and_not_to_the_terminal(saved, capfd, caplog):
    path = saved("a.tiff", compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[2000:2200] = b"\xff" * 200
    path.write_bytes(data)
    with caplog.at_level("INFO"), pytest.raises(ImageError, match="damaged or truncated TIFF"):
        read_one(path)
    assert capfd.readouterr().err == ""
    assert "libtiff: " in caplog.text


# What is no picture that is read.


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"P6\n3 2\n255\n", "PNM"),
        (b"8BPS\0\1", "Photoshop"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="x">', "SVG"),
        (b"II*\0\x10\0\0\0CR\2\0", "raw camera"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw camera"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "HEIF"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, head, name):
    (tmp_path / "a.jpg").write_bytes(head + bytes(500))
    assert image_format(tmp_path / "a.jpg") == name
    with pytest.raises(ImageError, match=rf"a\.jpg: {name} pictures are not read; convert it to JPEG or PNG"):
        probe_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("brands", "found"),
    [
        (b"avif mif1", "AVIF"),
        (b"avis msf1", "AVIF"),
        (b"mif1 heic", "HEIC"),
        (b"mif1 avif", "AVIF"),
        (b"heix mif1", "HEIC"),
        (b"isom iso2 avc1 mp41", None),
        (b"qt   qt  ", None),
        (b"mp42 heic", None),
        (b"hevc msf1", None),
    ],
)
def test_pictures_and_videos_are_reported_apart_by_their_brands(brands, found):
    major, *others = [brand.ljust(4)[:4] for brand in brands.split()]
    box = major + bytes(4) + b"".join(others)
    assert sniff_image(struct.pack(">I4s", 8 + len(box), b"ftyp") + box + bytes(100)) == found


def test_raw_camera_files_that_look_like_tiff(saved):
    """Their first picture is a small preview."""
    path = saved("a.dng", format="TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageError, match=r"a\.dng: the first picture of the TIFF is a preview"):
        probe_image(path)


@pytest.mark.parametrize("read", [probe_image, read_one])
def test_files_that_are_no_pictures(tmp_path, read):
    (tmp_path / "page.jpg").write_text("\n<!DOCTYPE html><html>not found</html>")
    (tmp_path / "text.jpg").write_text("text")
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for name, reason in [
        ("page.jpg", "a web page"),
        ("text.jpg", "not a picture that can be read"),
        ("empty.jpg", "the file is empty"),
        ("pipe.png", "not a regular file"),
        ("gone.png", "no such file"),
        (".", "not a regular file"),
        ("/dev/zero", "not a regular file"),
    ]:
        with pytest.raises(ImageError, match=reason) as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


# Nothing that takes the machine.

LIMITED = """
import resource, sys, time
from pathlib import Path
from deepfake.media.images import ImageError, read_image
from deepfake.media.image_files import iter_image, probe_image
statm = Path("/proc/self/statm")
if statm.exists():  # memory that is reserved and not touched shows nowhere else
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28,) * 2)
before, memory = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (probe_image, lambda path: list(iter_image(path, damage=[])), read_image):
    try:
        read(Path(sys.argv[1]))
    except ImageError as error:
        print(error)
seconds, peak = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
assert seconds < 1, f"{seconds:.2f} s"
assert peak < 32 * 1024, f"{peak} KiB"
"""


def refused_at_once(path: Path) -> None:
    """Reading is refused for the number of pixels, in less than a second and 32 MiB, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *reasons, crop_reason = done.stdout.splitlines()
    assert len(reasons) == 2
    assert all(f"{path}: " in reason and "pixels; at most 67,108,864 are read" in reason for reason in reasons)
    assert "67,108,864" in crop_reason or "not a picture" in crop_reason


def png_chunk(kind: bytes, data: bytes) -> bytes:
    import zlib

    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def test_a_run_length_encoded_bmp_of_one_kilobyte(tmp_path):
    sizes = struct.pack("<IiiHHIIiiII", 40, 32767, 32767, 1, 8, 1, 0, 0, 0, 256, 0)
    data = b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54 + 1024) + sizes + bytes(1024) + b"\0\1"
    (tmp_path / "bomb.bmp").write_bytes(data)
    refused_at_once(tmp_path / "bomb.bmp")


def test_forged_sizes(saved, tmp_path, photo):
    data = bytearray(saved("a.jpg").read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 32000, 32000)
    (tmp_path / "forged.jpg").write_bytes(data)
    (tmp_path / "forged.png").write_bytes(png_header(20000, 20000) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b""))
    for name, lossless in (("a.webp", True), ("b.webp", False)):
        data = bytearray(saved(name, lossless=lossless).read_bytes())
        at = 21 if lossless else 26
        data[at : at + 4] = struct.pack("<I", 16383 - 1 | (16383 - 1) << 14 if lossless else 16383 | 16383 << 16)
        (tmp_path / f"forged_{name}").write_bytes(data)
    data = bytearray(saved("a.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 65535, 65535)
    (tmp_path / "forged.gif").write_bytes(data)
    for path in sorted(tmp_path.glob("forged*")):
        refused_at_once(path)
    assert len(list(tmp_path.glob("forged*"))) == 5


def test_a_gif_whose_later_frame_is_larger_than_its_screen(saved, photo, tmp_path):
    frames = frames_of(photo)
    path = saved("a.gif", frames[0], save_all=True, append_images=frames[1:])
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\x2c" + struct.pack("<HHHH", 0, 0, WIDTH, HEIGHT))
    data[at + 5 : at + 9] = struct.pack("<HH", 60000, 60000)
    path.write_bytes(data)
    refused_at_once(path)


def test_the_limit_can_be_raised(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("L", (9000, 8000)).save(path)
    with pytest.raises(ImageError, match="9000 x 8000 pixels"):
        probe_image(path)
    assert probe_image(path, max_pixels=10**8).width == 9000


def test_endless_scans_are_refused(saved):
    path = saved("a.jpg", progressive=True)
    data = path.read_bytes()
    last = data.rindex(b"\xff\xda")
    path.write_bytes(data[:last] + data[last:-2] * 300 + data[-2:])
    with pytest.raises(ImageError, match=r"a JPEG of 3\d\d scans"):
        read_one(path)


def test_huge_files_are_not_read(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.write(png_header(10, 10))
        file.truncate(40 * 2**30)
    with pytest.raises(ImageError, match=r"42,949,672,960 bytes; pictures of at most"):
        probe_image(path)
