import random
import warnings

import cv2
import numpy as np
import pytest

from training.transforms.augment_faces import WSDANAugmentation, XceptionAugmentation, resize

AUGMENTATIONS = [XceptionAugmentation, WSDANAugmentation]


@pytest.fixture(scope="module", params=AUGMENTATIONS)
def augmentation(request):
    with warnings.catch_warnings():
        # An argument that albumentations ignores would change what is trained.
        warnings.simplefilter("error")
        return request.param(48)


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(5)
    return cv2.resize(rng.integers(0, 255, (6, 6, 3), dtype=np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)


def test_gives_squares_of_bytes_and_leaves_its_input_alone(augmentation, picture):
    before = picture.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(60):
            out = augmentation(picture, np.random.default_rng(seed))
            assert out.shape == (48, 48, 3) and out.dtype == np.uint8
    assert (picture == before).all()


def test_depends_on_the_generator_and_on_nothing_else(augmentation, picture):
    first = [augmentation(picture, np.random.default_rng(seed)) for seed in range(30)]
    random.seed(9)
    np.random.seed(9)
    other = type(augmentation)(48)
    other(picture, np.random.default_rng(99))
    again = [other(picture, np.random.default_rng(seed)) for seed in range(30)]
    assert all((a == b).all() for a, b in zip(first, again))
    assert len({a.tobytes() for a in first}) > 12


XCEPTION = {"ChannelShuffle": 0.1, "GaussNoise 2": 0.1, "GaussNoise": 0.1, "HueSaturationValue": 0.1, "Sharpen": 0.5,
            "GaussianBlur 3": 0.1 / 3, "GaussianBlur 5": 0.1 / 3, "GaussianBlur 7": 0.1 / 3, "ISONoise": 0.3,
            "Brightness": 0.8, "RandomBrightnessContrast": 0.2, "ToSepia": 0.1}  # fmt: skip
WSDAN = {"HorizontalFlip": 0.5, "GaussNoise": 0.1, "GaussNoise 2": 0.1, "MotionBlur": 0.05, "Blur": 0.05,
         "GaussianBlur 3": 0.1 / 3, "GaussianBlur 5": 0.1 / 3, "GaussianBlur 7": 0.1 / 3, "HueSaturationValue": 0.2,
         "Brightness": 0.15, "Sharpen": 0.15, "Emboss": 0.15, "RandomBrightnessContrast": 0.15,
         "ToSepia": 0.1}  # fmt: skip


def name_of(transform) -> str:
    name = type(transform).__name__
    if name == "GaussianBlur":
        return f"{name} {transform.blur_limit[0]}"
    if name == "GaussNoise" and not transform.per_channel:
        return f"{name} 2"
    return "Brightness" if name == "RandomBrightnessContrast" and transform.contrast_limit == (0, 0) else name


@pytest.mark.parametrize(
    ("kind", "shares", "whole"), [(XceptionAugmentation, XCEPTION, 1), (WSDANAugmentation, WSDAN, 0.5)]
)
def test_transforms_are_drawn_with_the_published_shares(monkeypatch, picture, kind, shares, whole):
    augmentation = kind(48)
    counts = dict.fromkeys(shares, 0)

    def spy(name, apply):
        def counted(*args, **kwargs):
            counts[name] += 1
            return apply(*args, **kwargs)

        return counted

    def watch(transforms):
        for transform in transforms:
            if hasattr(transform, "transforms"):
                watch(transform.transforms)
            else:
                monkeypatch.setattr(transform, "get_params", spy(name_of(transform), transform.get_params))

    watch(augmentation.pipeline.transforms)
    runs = 500
    for seed in range(runs):
        augmentation(picture, np.random.default_rng(seed))
    assert {name: n / runs for name, n in counts.items()} == pytest.approx(
        {name: whole * share for name, share in shares.items()}, abs=0.06
    )


def transforms_of(kind) -> dict:
    found = {}

    def collect(transforms):
        for transform in transforms:
            if hasattr(transform, "transforms"):
                collect(transform.transforms)
            else:
                found[name_of(transform)] = transform

    collect(kind(48).pipeline.transforms)
    return found


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_arguments_mean_what_the_recipe_says(kind):
    found = transforms_of(kind)
    assert tuple((s * 255) ** 2 for s in found["GaussNoise"].std_range) == pytest.approx((10, 50))
    assert found["GaussNoise 2"].std_range == (0.01, 0.05)
    assert [found[f"GaussianBlur {k}"].sigma_limit for k in (3, 5, 7)] == [(0.8, 0.8), (1.1, 1.1), (1.4, 1.4)]
    hue = found["HueSaturationValue"]
    assert (hue.hue_shift_limit, hue.sat_shift_limit, hue.val_shift_limit) == ((-20, 20), (-30, 30), (-20, 20))
    assert (found["Sharpen"].alpha, found["Sharpen"].lightness) == ((0.2, 0.5), (0.5, 1.0))
    for name in ("Brightness", "RandomBrightnessContrast"):
        assert found[name].brightness_limit == (-0.2, 0.2) and found[name].brightness_by_max
    assert found["RandomBrightnessContrast"].contrast_limit == (-0.2, 0.2)
    if kind is WSDANAugmentation:
        assert (found["Emboss"].alpha, found["Emboss"].strength) == ((0.2, 0.5), (0.2, 0.7))
        assert found["Blur"].blur_limit == (3, 3) and found["MotionBlur"].blur_limit == (3, 7)


def test_noise_is_as_strong_as_the_recipe_says():
    """Of the two noises alone, on gray: the deviations that come out."""
    gray = np.full((64, 64, 3), 128, np.uint8)
    for name, (low, high) in {"GaussNoise": (10**0.5, 50**0.5), "GaussNoise 2": (2.55, 12.75)}.items():
        noise = transforms_of(XceptionAugmentation)[name]
        noise.p = 1
        deviations = [(noise(image=gray)["image"].astype(float) - 128).std() for _ in range(40)]
        assert low - 0.5 < min(deviations) and max(deviations) < high + 0.5
        assert max(deviations) - min(deviations) > (high - low) / 3


def test_the_resize_is_bilinear(picture):
    assert (resize(picture, 48) == cv2.resize(picture, (48, 48), interpolation=cv2.INTER_LINEAR)).all()
    assert resize(picture, 64) is picture
