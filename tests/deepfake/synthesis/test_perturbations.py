"""Perturbations: by their formulas, worse with each level, and the same whatever the order of work."""

import itertools
import pickle

import cv2
import numpy as np
import pytest
from scipy import ndimage

from deepfake.media.video import iter_every, open_video
from deepfake.parallel.pool import stream
from deepfake.storage.registry import UnknownName
from deepfake.synthesis.perturbations.kinds import PERTURBATIONS, FrameKind, MixtureKind, VideoKind
from deepfake.synthesis.perturbations.perturbation import SUITES, parse_perturbations
from deepfake.synthesis.perturbations.perturbed_video import open_perturbed
from deepfake.synthesis.portraits import read_portrait
from tests.data.clips import draw, ffmpeg

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


@pytest.mark.parametrize("name", ["CS", "CC", "BW", "GNC", "GB", "JPEG"])
def test_each_level_is_worse(name, image):
    found = differences(name, image)
    assert found == sorted(found) and found[0] > 0 and len(set(found)) == 5


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
