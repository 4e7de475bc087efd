"""Perturbations: by their formulas, worse with each level, and the same whatever the order of work."""

import itertools
import pickle
import tempfile

import av
import cv2
import numpy as np
import pytest
from scipy import ndimage

from deepfake.media.encode import write_video
from deepfake.media.images import write_image
from deepfake.media.video import count_frames, iter_every, open_video
from deepfake.parallel.pool import stream
from deepfake.storage.registry import UnknownName
from deepfake.synthesis.perturbations.families.dfdc_augmenters import AUGMENTERS, DISTRACTORS
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS, FrameKind, MixtureKind, VideoKind
from deepfake.synthesis.perturbations.perturbation import SUITES, Perturbation, generator_of, parse_perturbations
from deepfake.synthesis.perturbations.perturbed_video import FOLDER_PREFIX, open_perturbed, write_perturbed
from deepfake.synthesis.portraits import read_portrait
from tests.data.clips import draw, ffmpeg, gradient

FRAMEWISE = [name for name, kind in PERTURBATIONS.items() if isinstance(kind, FrameKind)]
VIDEOWISE = [name for name, kind in PERTURBATIONS.items() if isinstance(kind, VideoKind)]
MIXTURES = [name for name, kind in PERTURBATIONS.items() if isinstance(kind, MixtureKind)]

SOURCES = ("DeeperForensics", "DFDC", "AugLy", "ladder", "FaceForensics", "platform")


@pytest.fixture(scope="module")
def image():
    """A portrait, 512 pixels a side."""
    return cv2.resize(read_portrait("collins"), (512, 512), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def clip(image, tmp_path_factory):
    """A portrait that moves, with grain and sound: 12 frames of 320 x 240."""
    folder = tmp_path_factory.mktemp("clip")
    grain = np.random.default_rng(0).integers(-12, 13, (12, 240, 320, 3))
    frames = np.stack([image[40 + 2 * i : 280 + 2 * i, 60 + 3 * i : 380 + 3 * i] for i in range(12)])
    draw(folder / "still.mp4", (frames + grain).clip(0, 255).astype(np.uint8), 25, "-c:v", "libx264", "-crf", "8")
    path = folder / "clip.mp4"
    ffmpeg("-i", folder / "still.mp4", "-f", "lavfi", "-i", "sine=duration=0.48", "-c:v", "copy", path)
    return path


def perturbed(word, image, video="a video", number=0):
    (perturbation,) = parse_perturbations(word)
    return perturbation.plan(video).frame(number, image)


def differences(name, image):
    """The mean distance to the image at each level."""
    return [np.abs(perturbed(str(p), image).astype(int) - image).mean() for p in parse_perturbations(name)]


def luma_and_chroma(image):
    """Y, Cb - 128, Cr - 128 as JPEG has them, from their definitions."""
    red, green, blue = np.moveaxis(image.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma, (blue - luma) / 1.772, (red - luma) / 1.402


# Names


def test_a_suite_a_name_and_a_level_are_words():
    assert [str(p) for p in parse_perturbations("GNC:3")] == ["GNC:3"]
    assert [str(p) for p in parse_perturbations("GB")] == ["GB:1", "GB:2", "GB:3", "GB:4", "GB:5"]
    seven = parse_perturbations("deeperforensics", seed=5)
    assert len(seven) == 35 and {p.seed for p in seven} == {5}
    assert all(parse_perturbations(suite) for suite in SUITES)


@pytest.mark.parametrize(
    "word, known", [("gnc", "GNC"), ("nothing:1", "deeperforensics"), ("GNC:6", "1, 2, 3, 4, 5"), ("GNC:", "1, 2")]
)
def test_an_unknown_name_lists_the_known(word, known):
    with pytest.raises(UnknownName, match=known):
        parse_perturbations(word)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_each_says_what_it_does_and_where_it_comes_from(name):
    kind = PERTURBATIONS[name]
    assert kind.levels
    assert any(source in kind.function.__doc__ for source in SOURCES), kind.function.__doc__
    assert kind.meaning.endswith((".", ":")) and len(kind.meaning) < 120


# What is random


@pytest.mark.parametrize("name", FRAMEWISE)
def test_frames_depend_on_seed_video_and_number_alone(name, image):
    one = parse_perturbations(name)[-1]
    again = pickle.loads(pickle.dumps(one))
    original = image.copy()
    forward = [one.plan("v").frame(number, image) for number in (3, 7, 20)]
    backward = [again.plan("v").frame(number, image) for number in (20, 7, 3)][::-1]
    np.testing.assert_array_equal(forward, backward)
    np.testing.assert_array_equal(image, original)  # others may look at the same frame
    assert all(frame.dtype == np.uint8 and frame.ndim == 3 for frame in forward)


@pytest.mark.parametrize("word", ["GNC:5", "BW:1"])
def test_noise_is_anew_in_each_frame_video_and_seed(word, image):
    frames = [perturbed(word, image, *at) for at in (("v", 0), ("v", 1), ("w", 0))]
    (other,) = parse_perturbations(word, seed=1)
    frames.append(other.plan("v").frame(0, image))
    assert len({frame.tobytes() for frame in frames}) == 4


@pytest.mark.parametrize("name", MIXTURES)
def test_a_mixture_is_drawn_for_each_video(name):
    (mixed, *_) = parse_perturbations(name)
    plans = {f"v{i}": mixed.plan(f"v{i}") for i in range(40)}
    kept = {video: (tuple(s.key[1] for s in plan.steps), plan.encodings) for video, plan in plans.items()}
    assert len(set(kept.values())) > 5
    again = {video: mixed.plan(video) for video in reversed(list(plans))}
    assert {v: (tuple(s.key[1] for s in p.steps), p.encodings) for v, p in again.items()} == kept


# DeeperForensics


@pytest.mark.parametrize("name", [*SUITES["deeperforensics"][:-1], "jpeg", "blur", *SUITES["resize"]])
def test_each_level_is_worse(name, image):
    found = differences(name, image)
    assert found == sorted(found) and found[0] > 0 and len(set(found)) == len(found)


@pytest.mark.parametrize("level, factor", [(1, 0.4), (5, 0.0)])
def test_saturation_scales_chroma_and_keeps_luma(level, factor, image):
    before, after = luma_and_chroma(image), luma_and_chroma(perturbed(f"CS:{level}", image))
    for old, new, scale in zip(before, after, (1, factor, factor)):
        np.testing.assert_allclose(new, old * scale, atol=1)


def test_contrast_multiplies(image):
    np.testing.assert_array_equal(perturbed("CC:2", image), np.rint(image * 0.725).astype(np.uint8))


def test_blocks_are_gray_and_as_many_as_the_frame_is_large(image):
    large = np.zeros((800, 1400, 3), np.uint8)
    changed = (perturbed("BW:1", large) != 0).any(2)
    assert (perturbed("BW:1", large)[changed] == 128).all()
    assert 40 * 64 < changed.sum() <= 3 * 16 * 64  # 800 // 256 = 3; blocks may overlap
    np.testing.assert_array_equal(perturbed("BW:5", image[:200]), image[:200])
    levels = [(perturbed(f"BW:{level}", large) != 0).any(2) for level in range(1, 6)]
    assert all((less <= more).all() for less, more in itertools.pairwise(levels))


@pytest.mark.parametrize("level, variance", [(1, 0.001), (4, 0.01)])
def test_noise_has_its_variance_in_studio_range(level, variance):
    gray = np.full((600, 600, 3), 128, np.uint8)
    noise = luma_and_chroma(perturbed(f"GNC:{level}", gray))
    for plane, span in zip(noise, (219, 224, 224)):
        assert plane.std() == pytest.approx(np.sqrt(variance) * 255 * 255 / span, rel=0.03)
        assert abs(plane.mean() - (128 if span == 219 else 0)) < 0.3


def test_blur_is_the_gaussian_of_its_kernel(image):
    kernel = np.exp(-0.5 * ((np.arange(13) - 6) / (13 / 6)) ** 2)
    kernel /= kernel.sum()
    rows = ndimage.correlate1d(image.astype(np.float64), kernel, axis=0, mode="mirror")
    expected = ndimage.correlate1d(rows, kernel, axis=1, mode="mirror")
    np.testing.assert_allclose(perturbed("GB:3", image), expected, atol=1.01)


def test_their_jpeg_reduces_and_enlarges(image):
    small = cv2.resize(image, (512 // 3, 512 // 3), interpolation=cv2.INTER_LINEAR)
    expected = cv2.resize(small, (512, 512), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(perturbed("JPEG:2", image), expected)


# Videos


@pytest.mark.parametrize("word", ["GNC:2", "VC:5"])
def test_workers_and_choice_of_frames_change_nothing(word, clip):
    (perturbation,) = parse_perturbations(word)

    def read(wanted):
        with open_perturbed(clip, perturbation) as video:
            yield {frame.index: frame.image.tobytes() for frame in video.exactly(wanted)}

    every = next(read(tuple(range(12))))
    assert len(every) == 12
    for part in stream([(2, 9), (9,), tuple(range(12))], read, 2):
        assert part.error is None
        if not part.last:
            assert part.value == {index: every[index] for index in part.item}


def test_without_a_perturbation_a_video_is_read_as_ever(clip):
    with open_perturbed(clip, None) as video:
        frames = [frame.image for frame in video.exactly(range(12))]
    np.testing.assert_array_equal(frames, [frame.image for frame in iter_every(clip, 1)])
    assert type(video) is type(open_video(clip))


def test_a_picture_goes_through_the_encoder_too(image, tmp_path):
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), image[..., ::-1])
    (worst,) = parse_perturbations("VC:5")
    with open_perturbed(path, worst) as video:
        (frame,) = video.exactly([0])
    assert frame.image.shape == image.shape
    assert 1 < np.abs(frame.image.astype(int) - image).mean() < 20


def size(word, clip, folder):
    """The bytes of a clip as a perturbation encodes it, and its file."""
    (perturbation,) = parse_perturbations(word)
    path = folder / f"{word.replace(':', ' ')}.mp4"
    write_perturbed(clip, path, perturbation.plan("clip"))
    return path.stat().st_size, path


def codec_of(path):
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.name, len(container.streams.audio)


@pytest.mark.parametrize("name, decoder", [("h264", "h264"), ("h265", "hevc"), ("vp9", "vp9"), ("av1", "libdav1d")])
def test_codecs_encode_and_each_level_takes_fewer_bytes(name, decoder, clip, tmp_path):
    levels = list(PERTURBATIONS[name].levels)
    found = [size(f"{name}:{level}", clip, tmp_path) for level in levels[1::2]]
    sizes = [bytes_ for bytes_, _ in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 1.3 * sizes[-1]
    assert all(codec_of(path) == (decoder, 1) and count_frames(path) == 12 for _, path in found)
    again = size(f"{name}:{levels[1]}", clip, tmp_path)[1].read_bytes()
    assert again == found[0][1].read_bytes()


@pytest.mark.parametrize("name", ["h264", "h265", "vp9", "av1", "fps", "social"])
def test_frames_of_odd_sizes_are_encoded_too(name, image, tmp_path):
    write_video(tmp_path / "odd.mp4", iter([image[:47, :63]] * 3), 25)
    with open_perturbed(tmp_path / "odd.mp4", parse_perturbations(name)[0]) as video:
        (frame,) = video.exactly([0])
    assert frame.image.shape in ((47, 63, 3), (46, 62, 3))
    assert np.abs(frame.image.astype(int) - image[:47, :63][: frame.image.shape[0], : frame.image.shape[1]]).mean() < 12


def test_a_folder_of_pictures_goes_through_the_encoder_too(image, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in (3, 7, 9):
        write_image(tmp_path / "frames" / f"{number}.png", image)
    with open_perturbed(tmp_path / "frames", parse_perturbations("VC:1")[0]) as video:
        assert video.frames == 3


def test_frames_are_left_out_and_never_doubled(clip, tmp_path):
    assert count_frames(size("fps:5", clip, tmp_path)[1]) in (2, 3)  # of 0.48 s
    assert count_frames(size("fps:24", clip, tmp_path)[1]) in (11, 12)
    slow = tmp_path / "slow.mp4"
    draw(slow, gradient(6), 4)
    assert count_frames(size("fps:5", slow, tmp_path)[1]) == 6


@pytest.mark.parametrize(
    "shape, expected", [((960, 1280), (720, 960)), ((1280, 720), (1280, 720)), ((48, 64), (48, 64))]
)
def test_platforms_reduce_to_720_and_never_enlarge(shape, expected, tmp_path):
    source = tmp_path / "source.mp4"
    draw(source, gradient(2, *shape))
    with open_perturbed(source, Perturbation("social", "28")) as video:
        info = video.info()
    assert (info.height, info.width) == expected
    plan = Perturbation("social", "28").plan("source")
    assert len(plan.encodings) == 2 and {encoding.short_side for encoding in plan.encodings} == {720}


def test_what_is_written_is_what_a_prediction_sees(clip, tmp_path):
    (perturbation,) = parse_perturbations("GB:4")
    write_perturbed(clip, tmp_path / "copy.mp4", perturbation.plan("clip"), crf=1)
    with open_perturbed(clip, perturbation) as video:
        seen = [frame.image for frame in video.exactly(range(12))]
    written = [frame.image for frame in iter_every(tmp_path / "copy.mp4", 1)]
    assert np.abs(np.array(seen, int) - written).mean() < 1.5
    assert codec_of(tmp_path / "copy.mp4") == ("h264", 1)


def test_folders_of_killed_readers_are_deleted(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left = tmp_path / f"{FOLDER_PREFIX}left"
    left.mkdir()
    (left / ".lock").touch()
    (left / "1.mp4").write_bytes(b"a copy")
    with open_perturbed(clip, parse_perturbations("fps:5")[0]) as video:
        assert video.frames and not left.exists()
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_sound_goes_where_it_is_to_go(clip, tmp_path):
    assert codec_of(size("dfdc-silent", clip, tmp_path)[1]) == ("h264", 0)
    assert codec_of(size("dfdc-hflip", clip, tmp_path)[1]) == ("h264", 1)
    with open_perturbed(clip, Perturbation("dfdc-silent", "on")) as video:
        assert type(video) is type(open_video(clip))  # nothing to encode for a prediction


# DFDC


def test_the_share_of_each_augmenter_and_distractor():
    mixed = Perturbation("dfdc", "draw")
    kind = PERTURBATIONS["dfdc"]
    drawn = [kind.function(None, generator_of("777", "dfdc", f"v{i}")) for i in range(3000)]
    names = [[name for name, _ in some] for some in drawn]
    assert sum(any(name in AUGMENTERS for name in some) for some in names) / 3000 == pytest.approx(0.7, abs=0.03)
    assert sum(any(name in DISTRACTORS for name in some) for some in names) / 3000 == pytest.approx(0.3, abs=0.03)
    assert {name for some in names for name in some} == {*AUGMENTERS, *DISTRACTORS}
    assert mixed.plan("v0") is not None


def test_augmenters_stay_in_their_ranges(image):
    videos = [f"v{i}" for i in range(60)]
    (rate,), (quality,) = parse_perturbations("dfdc-fps"), parse_perturbations("dfdc-quality")
    rates = [rate.plan(video).encodings[0].fps for video in videos]
    crfs = [quality.plan(video).encodings[0].crf for video in videos]
    assert 5 <= min(rates) < 8 and 27 < max(rates) <= 30
    assert 10 <= min(crfs) < 14 and 36 < max(crfs) <= 40
    gray = np.full((64, 64, 3), 128, np.uint8)
    noise = [luma_and_chroma(perturbed("dfdc-noise", gray, video))[0].std() for video in videos]
    assert min(noise) < 3 and 24 < max(noise) < 50 / np.sqrt(3) + 1
    means = [perturbed("dfdc-brightness", gray, video).mean() for video in videos]
    assert min(means) == 0 and max(means) == 255


def test_simple_augmenters_do_what_they_are_called(image):
    np.testing.assert_array_equal(perturbed("dfdc-hflip", image), image[:, ::-1])
    gray = perturbed("dfdc-grayscale", image)
    np.testing.assert_allclose(gray[..., 0], luma_and_chroma(image)[0], atol=0.51)
    assert (gray == gray[..., :1]).all()
    assert perturbed("dfdc-resolution", image).shape == (256, 256, 3)
    corners = [perturbed("dfdc-rotation", image, f"v{i}")[0, 0] for i in range(20)]
    assert sum(not corner.any() for corner in corners) > 15


def test_drawings_stay_in_their_place_and_scale_with_the_frame(image):
    for name in DISTRACTORS:
        one, two = (perturbed(name, image, "v", number) for number in (0, 9))
        np.testing.assert_array_equal(one, two)
        changed = (one != image).any(2).mean()
        assert 0.001 < changed < 0.4, name
        large = cv2.resize(image, (1024, 1024))
        assert (perturbed(name, large, "v") != large).any(2).mean() == pytest.approx(changed, rel=0.5), name
        assert perturbed(name, image, "w").tobytes() != one.tobytes()
