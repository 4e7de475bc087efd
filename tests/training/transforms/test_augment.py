import random

import albumentations as A
import cv2
import numpy as np
import pytest
from albumentations.augmentations.geometric.functional import center, create_affine_transformation_matrix
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest

from bench import first_augmentation
from training.transforms import augment
from training.transforms.area import area_resize
from training.transforms.augment import TrainAugmentation, fancy_pca


@pytest.fixture(scope="module")
def augmentation():
    return TrainAugmentation(64)


@pytest.fixture
def picture():
    rng = np.random.default_rng(5)
    return cv2.resize(rng.integers(0, 255, (6, 5, 3), dtype=np.uint8), (75, 90), interpolation=cv2.INTER_CUBIC)


def test_gives_squares_of_bytes_and_leaves_its_input_alone(augmentation, picture):
    before = picture.copy()
    for seed in range(20):
        out = augmentation(picture, np.random.default_rng(seed))
        assert out.shape == (64, 64, 3) and out.dtype == np.uint8
    assert (picture == before).all()


@pytest.mark.parametrize("shape", [(30, 200), (200, 30), (64, 64), (500, 480), (20, 20)])
def test_any_shape(augmentation, shape):
    for seed in range(3):
        assert augmentation(np.full((*shape, 3), 128, np.uint8), np.random.default_rng(seed)).shape == (64, 64, 3)


def test_depends_on_the_generator_and_on_nothing_else(augmentation, picture):
    first = [augmentation(picture, np.random.default_rng(seed)) for seed in range(12)]
    random.seed(9)
    np.random.seed(9)
    other = TrainAugmentation(64)
    other(picture, np.random.default_rng(99))
    again = [other(picture, np.random.default_rng(seed)) for seed in range(12)]
    assert all((a == b).all() for a, b in zip(first, again))
    assert len({a.tobytes() for a in first}) == 12


def test_operations_are_drawn_with_the_published_shares_and_independently(augmentation, monkeypatch, picture):
    expected = {"compress": 0.5, "add_noise": 0.1, "fancy_pca": 0.7 / 3, "change_brightness": 0.7 / 3,
                "shift_hsv": 0.7 / 3, "draw_affine": 0.5}  # fmt: skip
    applied: list[set] = []

    def spy(name, apply):
        def counted(*args):
            applied[-1].add(name)
            return apply(*args)

        return counted

    for name in expected:
        monkeypatch.setattr(augment, name, spy(name, getattr(augment, name)))
    runs = 800
    for seed in range(runs):
        applied.append(set())
        augmentation(picture, np.random.default_rng(seed))
    shares = {name: sum(name in names for names in applied) / runs for name in expected}
    assert shares == pytest.approx(expected, abs=0.06)
    both = sum({"compress", "draw_affine"} <= names for names in applied) / runs
    assert both == pytest.approx(1 / 4, abs=0.05), "the draws are independent"


def test_figures_are_the_recipes():
    assert (augment.JPEG_QUALITY, augment.NOISE_VARIANCE, augment.BLUR_KERNEL) == ((60, 100), (10, 50), 3)
    assert (augment.P_JPEG, augment.P_NOISE, augment.P_BLUR, augment.P_FLIP) == (0.5, 0.1, 0.05, 0.5)
    assert (augment.P_COLOR, augment.P_GRAY, augment.P_AFFINE) == (0.7, 0.2, 0.5)
    assert (augment.SHIFT, augment.SCALE, augment.ROTATE) == (0.1, 0.2, 10)


def _draws_of_albumentations(transform, names, count=1500):
    transform.set_random_state(np.random.default_rng(1), random.Random(1))
    shape = {"shape": (64, 64, 3)}
    picture = {"image": np.zeros((64, 64, 3), np.uint8)}
    for _ in range(count):
        drawn = {**transform.get_params(), **transform.get_params_dependent_on_data(shape, picture)}
        yield [drawn[name] for name in names]


def test_arguments_are_drawn_as_albumentations_draws_them(augmentation, monkeypatch):
    """Each operation's arguments: two samples of one distribution (Kolmogorov-Smirnov), for fixed seeds."""
    taken: dict[str, list] = {"compress": [], "add_noise": [], "change_brightness": [], "shift_hsv": []}
    for name, calls in taken.items():
        monkeypatch.setattr(augment, name, lambda image, *args, calls=calls: calls.append(args) or image)
    tiny = np.zeros((8, 8, 3), np.uint8)
    for seed in range(4000):
        augmentation(tiny, np.random.default_rng(seed))
    pipelines = first_augmentation.FirstAugmentation(64)
    jpeg, noise, _, _ = pipelines._before.transforms
    names = {"change_brightness": (pipelines._brightness.transforms[0], ("alpha", "beta")),
             "shift_hsv": (pipelines._hue.transforms[0], ("hue_shift", "sat_shift", "val_shift")),
             "compress": (jpeg, ("quality",))}  # fmt: skip
    for name, (transform, arguments) in names.items():
        theirs = np.array(list(_draws_of_albumentations(transform, arguments)))
        ours = np.array(taken[name])
        for a, b in zip(ours.T, theirs.T, strict=True):
            assert ks_2samp(a, b).pvalue > 0.005, name
            assert a.min() == pytest.approx(b.min(), abs=0.03 * np.ptp(b)), name
            assert a.max() == pytest.approx(b.max(), abs=0.03 * np.ptp(b)), name
    sigma = np.array([args[0] for args in taken["add_noise"]])
    low, high = (255 * s for s in noise.std_range)
    assert kstest(sigma, "uniform", args=(low, high - low)).pvalue > 0.005
    affine = pipelines._after.transforms[1]
    theirs = np.array([m[0][:2].ravel() for m in _draws_of_albumentations(affine, ("matrix",))])
    ours = np.array([augment.draw_affine(64, np.random.default_rng(seed)).ravel() for seed in range(1500)])
    assert min(ks_2samp(a, b).pvalue for a, b in zip(ours.T, theirs.T)) > 0.005


def test_a_fifth_is_gray_and_half_is_flipped(augmentation, picture):
    picture[:, : picture.shape[1] // 2] //= 4  # the left half is dark
    results = [augmentation(picture, np.random.default_rng(seed)) for seed in range(900)]
    assert np.mean([(np.ptp(image, axis=2) == 0).all() for image in results]) == pytest.approx(0.2, abs=0.045)
    flipped = [image[:, :32].mean() > image[:, 32:].mean() for image in results]
    assert np.mean(flipped) == pytest.approx(0.5, abs=0.06)


# Against albumentations, operation by operation: the same values for the same arguments.


@pytest.mark.parametrize("quality", [60, 75, 90, 100])
def test_compression_is_albumentations(picture, quality):
    expected = A.ImageCompression().apply(picture, quality=quality, image_type=".jpg")
    assert (augment.compress(picture, quality) == expected).all()


def test_blur_is_albumentations(picture):
    blur = A.GaussianBlur(blur_limit=(3, 3), sigma_limit=(augment.BLUR_SIGMA, augment.BLUR_SIGMA), p=1)
    ours = cv2.sepFilter2D(picture, -1, augment._BLUR, augment._BLUR)
    assert (ours == blur(image=picture)["image"]).mean() > 0.999, "their kernel is not in double precision"


def test_color_changes_are_albumentations(picture):
    rng = np.random.default_rng(0)
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    mixed = np.concatenate([picture, gray])
    for _ in range(20):
        alpha, beta = 1 + rng.uniform(-0.2, 0.2), 255 * rng.uniform(-0.2, 0.2)
        expected = A.RandomBrightnessContrast().apply(mixed, alpha=alpha, beta=beta).astype(int)
        ours = augment.change_brightness(mixed, alpha, beta)
        assert np.abs(ours - expected).max() <= 1 and (ours == expected).mean() > 0.95, "they count in single precision"
        shifts = rng.uniform(-20, 20), rng.uniform(-30, 30), rng.uniform(-20, 20)
        expected = A.HueSaturationValue().apply(mixed, *shifts)
        assert (augment.shift_hsv(mixed, *shifts) == expected).all()


def test_the_affine_matrix_is_albumentations():
    rng = np.random.default_rng(0)
    for size in (64, 301):
        for _ in range(20):
            across, down, scale, degrees = rng.uniform((-0.1, -0.1, 0.8, -10), (0.1, 0.1, 1.2, 10))
            shift = {"x": int(across * size), "y": int(down * size)}
            none, both = {"x": 0.0, "y": 0.0}, {"x": scale, "y": scale}
            expected = create_affine_transformation_matrix(shift, none, both, degrees, center((size, size)))
            np.testing.assert_allclose(augment.affine_matrix(size, across, down, scale, degrees), expected[:2])


def test_warping_four_channels_is_warping_three(picture):
    square = cv2.resize(picture, (64, 64))
    for seed in range(10):
        matrix = augment.draw_affine(64, np.random.default_rng(seed))
        assert (augment._warp(square, matrix) == cv2.warpAffine(square, matrix, (64, 64))).all()


def test_noise_has_albumentations_distribution():
    flat = np.full((300, 300, 3), 100, np.uint8)
    theirs = A.GaussNoise(std_range=(5 / 255, 5 / 255), p=1)(image=flat)["image"].astype(int) - 100
    ours = augment.add_noise(flat, 5, np.random.default_rng(0)).astype(int) - 100
    levels = [np.bincount(noise.ravel() + 30, minlength=61) / noise.size for noise in (ours, theirs)]
    assert np.abs(levels[0] - levels[1]).max() < 0.004
    assert abs(np.corrcoef(ours[:, :, 0].ravel(), ours[:, :, 1].ravel())[0, 1]) < 0.01
    assert (augment.add_noise(np.full((9, 9, 3), 255, np.uint8), 5, np.random.default_rng(0)) > 200).all(), "clipped"


def test_principal_components_are_the_first_implementations(picture):
    for seed in range(10):
        ours, theirs = (pca(picture, np.random.default_rng(seed)) for pca in (fancy_pca, first_augmentation.fancy_pca))
        assert np.abs(ours.astype(int) - theirs).max() <= 1


def _effects(image: np.ndarray) -> list[float]:
    """Figures of one result, each of which some of the operations change."""
    plain = image.astype(np.float32)
    gray, saturation = plain.mean(axis=2), cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1]
    high = cv2.Laplacian(gray, cv2.CV_32F)
    return [
        *plain.mean(axis=(0, 1)), *plain.std(axis=(0, 1)), float(saturation.mean()), float(np.abs(high).mean()),
        float(np.median(np.abs(high))), float((image.max(axis=2) == 0).mean()),
        float(gray[:, :32].mean() - gray[:, 32:].mean()), float(gray[:32].mean() - gray[32:].mean()),
        float(gray[0].mean()), float(gray[:, 0].mean()), float(np.ptp(plain[32, 32])),
    ]  # fmt: skip


@pytest.mark.parametrize("side", [(75, 90), (40, 52)], ids=["smaller", "larger"])
def test_results_are_distributed_as_the_first_implementations(augmentation, picture, side):
    """Two samples of 900 results each; were they of one distribution, one p in a thousand would be below 0.001."""
    picture, first = cv2.resize(picture, side), first_augmentation.FirstAugmentation(64)
    ours, theirs = (
        np.array([_effects(augment_(picture, np.random.default_rng([seed, n]))) for n in range(900)])
        for seed, augment_ in enumerate((augmentation, first))
    )
    p_values = [ks_2samp(a, b).pvalue for a, b in zip(ours.T, theirs.T)]
    assert min(p_values) > 0.002, np.round(p_values, 4)
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=5 * (theirs.std(axis=0) / 900**0.5).max())
    np.testing.assert_allclose(np.corrcoef(ours.T), np.corrcoef(theirs.T), atol=0.2)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 300), st.integers(1, 300))
def test_area_resize_is_opencvs(height, width, new_height, new_width):
    size = min(height, new_height), min(width, new_width)
    image = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(int)
    ours = area_resize(image, size)
    assert ours.dtype == np.uint8 and ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= 1 and (ours == expected).mean() > 0.95, "halves are rounded either way"


def test_fancy_pca_shifts_along_the_main_color():
    rng = np.random.default_rng(0)
    gray = rng.integers(60, 190, (50, 50, 1), dtype=np.uint8).repeat(3, axis=2)
    shifts = np.array(
        [fancy_pca(gray, np.random.default_rng(s), alpha=3.0)[0, 0].astype(int) - gray[0, 0] for s in range(40)]
    )
    assert np.ptp(shifts, axis=1).max() <= 1, "a gray picture varies along gray only"
    assert (shifts[:, 0] > 3).any() and (shifts[:, 0] < -3).any()
    assert np.abs(shifts.mean()) < 15
