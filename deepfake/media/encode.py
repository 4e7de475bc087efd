"""Writing videos with the ffmpeg binary that imageio-ffmpeg carries. Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import itertools
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from deepfake.media.containers import LIMITS, ReadLimits, decoder_options, shown_track, took_too_long
from deepfake.media.display import DEINTERLACER
from deepfake.media.video import length_of
from deepfake.storage.atomic import atomic_file

CRF_RANGE = range(52)
"""x264's constant rate factors: 0 is lossless, 51 the worst."""

NEARLY_LOSSLESS = 10
"""x264's rate factor at which no difference can be seen."""

H264 = "h264"

_FPS_DENOMINATOR = 1001
"""NTSC rates such as 30000/1001 are exact with it."""

WHOLE_FRAMES = f"{DEINTERLACER}=mode=send_frame:deint=interlaced"

_DISK_FULL = "No space left on device"


class EncodeError(ValueError):
    """A video cannot be written; the message names the file and ffmpeg's reason."""


@dataclass(frozen=True)
class Codec:
    """How ffmpeg encodes for a codec: with one thread, so that the file depends on the frames alone.

    Attributes:
        encoder: ffmpeg's name of it.
        qualities: its constant rate factors, from the best to the worst.
        options: beside those.
    """

    encoder: str
    qualities: range
    options: tuple[str, ...]


# Half-size chroma in 8 bits, which every decoder has.
_COMMON_PIXELS = ("-pix_fmt", "yuv420p")

CODECS = {
    H264: Codec("libx264", CRF_RANGE, ("-threads", "1")),
    "h265": Codec(
        "libx265", CRF_RANGE, ("-x265-params", "pools=none:frame-threads=1:log-level=error", *_COMMON_PIXELS)
    ),
    "vp9": Codec(
        "libvpx-vp9", range(64), ("-b:v", "0", "-deadline", "good", "-cpu-used", "4", "-threads", "1", *_COMMON_PIXELS)
    ),
    "av1": Codec("libsvtav1", range(64), ("-preset", "8", "-svtav1-params", "lp=1", *_COMMON_PIXELS)),
}


@dataclass(frozen=True)
class Encoding:
    """How a video is encoded again.

    Attributes:
        crf: the constant rate factor, on the codec's own scale.
        codec: a key of CODECS.
        fps: most frames a second: of a video with more some are left out.
        short_side: most pixels of a frame's shorter side: larger frames are reduced, smaller ones stay.
    """

    crf: int
    codec: str = H264
    fps: float | None = None
    short_side: int | None = None

    def arguments(self) -> list[str]:
        """Return ffmpeg's options for the encoder.

        Raises:
            EncodeError: the codec has no such rate factor.
        """
        codec = CODECS[self.codec]
        if self.crf not in codec.qualities:
            raise EncodeError(f"CRF {self.crf}: expected {codec.qualities[0]} to {codec.qualities[-1]}")
        return ["-c:v", codec.encoder, "-crf", str(self.crf), *codec.options]

    def filters(self) -> str:
        """Return ffmpeg's filters: interlaced frames made whole, then fewer and smaller ones."""
        filters = [WHOLE_FRAMES]
        if self.fps is not None:
            filters.append(f"fps=fps='min({self.fps},source_fps)'")
        if (side := self.short_side) is not None:
            # -2: as the aspect ratio says, to an even number.
            even = f"trunc(min({side},{{}})/2)*2"
            filters.append(f"scale=w='if(gt(iw,ih),-2,{even.format('iw')})':h='if(gt(iw,ih),{even.format('ih')},-2)'")
        if self.codec != H264:  # the others have half-size chroma, which needs an even width and height
            filters.append("crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0")
        return ",".join(filters)


def write_video(
    path: Path, frames: Iterable[np.ndarray], fps: float, crf: int = 20, sound_of: Path | None = None
) -> int:
    """Encodes frames as they come, so memory does not grow with their number.

    One encoder thread: the file depends on the frames alone, not on the machine's cores.

    Args:
        path: the suffix names the container.
        frames: (H, W, 3) uint8 RGB, all of one size.
        fps: frames a second.
        crf: x264's constant rate factor.
        sound_of: a video file whose sound is copied, if it has any.

    Returns:
        The number of frames.

    Raises:
        EncodeError: no frame, frames of different sizes, or ffmpeg refused.
        OSError: the disk is full.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise EncodeError(f"{path}: no frames to write")
    height, width = first.shape[:2]
    rate = Fraction(fps).limit_denominator(_FPS_DENOMINATOR)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "pipe:0"]
    sound = ["-an"]
    if sound_of is not None:
        demuxer, _ = shown_track(sound_of)
        source += _reading(sound_of, demuxer)
        sound = ["-map", "0:v", "-map", "1:a?", "-c:a", "copy"]
    # Half-size chroma, which every player shows, needs an even width and height.
    pixels = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
    with atomic_file(path) as partial, tempfile.TemporaryFile() as errors:
        command = _command(source, [*Encoding(crf).arguments(), "-pix_fmt", pixels, *sound], partial)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors) as process:
            assert process.stdin is not None
            count = 0
            try:
                for frame in itertools.chain([first], iterator):
                    if frame.shape != first.shape:
                        raise EncodeError(f"{path}: frame {count} has shape {frame.shape}, the first one {first.shape}")
                    process.stdin.write(np.ascontiguousarray(frame).data)
                    count += 1
                process.stdin.flush()
            except BrokenPipeError:
                pass  # ffmpeg gave up; its exit code and message say why
            except BaseException:
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        _check(process.returncode, errors, path)
    return count


def transcode(
    source: Path, path: Path, encoding: Encoding, limits: ReadLimits = LIMITS, keeps_sound: bool = True
) -> None:
    """Encode the track that players show again, frame for frame, with one thread; its sound is copied.

    Interlaced frames are made whole: the copy would not say that they are interlaced.

    Args:
        keeps_sound: False leaves the sound out.

    Raises:
        VideoError: the source is not a video file with its frames in it, or over a limit (`ReadLimits`).
        EncodeError: ffmpeg cannot read the source or write the copy.
        OSError: the disk is full.
    """
    demuxer, index = shown_track(source, limits)
    length_of(source, limits)  # counts its frames
    with atomic_file(path) as partial, tempfile.TemporaryFile() as errors:
        # passthrough: no frame is dropped or doubled, so frame N stays frame N.
        writing = ["-map", f"0:{index}", "-map", "0:a?", "-fps_mode", "passthrough", "-vf", encoding.filters()]
        writing += [*encoding.arguments(), *(["-c:a", "copy"] if keeps_sound else ["-an"])]
        command = _command(["-threads", "1", *_reading(source, demuxer, limits)], writing, partial)
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=errors, check=False, timeout=limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise took_too_long(source, limits) from error
        _check(done.returncode, errors, source)


def _reading(source: Path, demuxer: str, limits: ReadLimits = LIMITS) -> list[str]:
    """ffmpeg's options for a video file to read."""
    # The demuxer and the protocol are named, or a playlist could lead to other files; an absolute path is never taken
    # for a protocol or an option.
    bounds = [word for name, value in decoder_options(limits).items() for word in (f"-{name}", value)]
    return ["-protocol_whitelist", "file", *bounds, "-f", demuxer, "-i", str(source.resolve())]


def _command(source: list[str], options: list[str], output: Path) -> list[str]:
    import imageio_ffmpeg

    # bitexact: no version or date in the file, so equal pictures give equal bytes.
    exact = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact"]
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "error"]
    return [imageio_ffmpeg.get_ffmpeg_exe(), *quiet, *source, *options, *exact, "-y", str(output.resolve())]


def _check(returncode: int, errors: IO[bytes], path: Path) -> None:
    if returncode == 0:
        return
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").split("\n")
    text = "; ".join(line.strip() for line in lines if line.strip())
    if _DISK_FULL in text:
        raise OSError(errno.ENOSPC, f"{path}: {_DISK_FULL}")
    raise EncodeError(f"{path}: ffmpeg ended with code {returncode}: {text or 'no message'}")
