import random
import warnings

import cv2
import numpy as np
import pytest

from training.transforms.augment import TrainAugmentation, fancy_pca


@pytest.fixture(scope="module")
def augmentation():
    with warnings.catch_warnings():
        # An argument that albumentations ignores would change what is trained.
        warnings.simplefilter("error")
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


def test_transforms_are_drawn_with_the_published_shares_and_independently(augmentation, monkeypatch, picture):
    names = ["ImageCompression", "GaussNoise", "GaussianBlur", "HorizontalFlip", "RandomBrightnessContrast",
             "HueSaturationValue", "ToGray", "Affine"]  # fmt: skip
    pipelines = (augmentation._before, augmentation._brightness, augmentation._hue, augmentation._after)
    transforms = {type(t).__name__: t for pipeline in pipelines for t in pipeline.transforms}
    assert sorted(transforms) == sorted(names)
    counts = dict.fromkeys(names, 0)
    applied: list[set] = []

    def spy(name, apply):
        def counted(*args, **kwargs):
            counts[name] += 1
            applied[-1].add(name)
            return apply(*args, **kwargs)

        return counted

    for name, transform in transforms.items():
        monkeypatch.setattr(transform, "get_params", spy(name, transform.get_params))  # asked only when applied
    runs = 600
    for seed in range(runs):
        applied.append(set())
        augmentation(picture, np.random.default_rng(seed))
    shares = {name: n / runs for name, n in counts.items()}
    expected = {"ImageCompression": 0.5, "GaussNoise": 0.1, "GaussianBlur": 0.05, "HorizontalFlip": 0.5,
                "RandomBrightnessContrast": 0.7 / 3, "HueSaturationValue": 0.7 / 3, "ToGray": 0.2,
                "Affine": 0.5}  # fmt: skip
    assert shares == pytest.approx(expected, abs=0.065)
    both = sum({"ImageCompression", "HorizontalFlip", "Affine"} <= a for a in applied) / runs
    assert both == pytest.approx(1 / 8, abs=0.05), "the three draws are independent"


def test_arguments_mean_what_the_recipe_says(augmentation):
    jpeg, noise, blur, _ = augmentation._before.transforms
    assert jpeg.quality_range == (60, 100)
    assert tuple((s * 255) ** 2 for s in noise.std_range) == pytest.approx((10, 50))
    assert blur.blur_limit == (3, 3)
    affine = augmentation._after.transforms[1]
    assert affine.rotate == (-10, 10) and affine.border_mode == cv2.BORDER_CONSTANT and affine.keep_ratio
    assert affine.scale == {"x": (0.8, 1.2), "y": (0.8, 1.2)}
    assert affine.translate_percent == {"x": (-0.1, 0.1), "y": (-0.1, 0.1)}


def test_fancy_pca_shifts_along_the_main_colour():
    rng = np.random.default_rng(0)
    grey = rng.integers(60, 190, (50, 50, 1), dtype=np.uint8).repeat(3, axis=2)
    shifts = np.array(
        [fancy_pca(grey, np.random.default_rng(s), alpha=3.0)[0, 0].astype(int) - grey[0, 0] for s in range(40)]
    )
    assert np.ptp(shifts, axis=1).max() <= 1, "a grey picture varies along grey only"
    assert (shifts[:, 0] > 3).any() and (shifts[:, 0] < -3).any()
    assert np.abs(shifts.mean()) < 15
