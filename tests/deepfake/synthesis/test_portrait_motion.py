"""deepfake/synthesis/portrait_motion.py: clips from a still picture."""

import numpy as np
import pytest

from deepfake.faces.align import TEMPLATE
from deepfake.synthesis.portrait_motion import Portrait, Strength, animate

STILL = Strength(yaw=0, pitch=0, roll=0, sway=0, pan=0, zoom=0, light=0, noise=0)


@pytest.fixture
def portrait() -> Portrait:
    """A 320-pixel checkerboard with the template's landmarks."""
    rows, columns = np.indices((320, 320)) // 20
    board = ((rows + columns) % 2 * 160 + 40).astype(np.uint8)
    return Portrait(np.stack([board] * 3, -1), TEMPLATE.copy())


def _clip(portrait, seed=1, **options):
    return np.stack(list(animate(portrait, 10, 25.0, 96, 3.0, seed, **options)))


def test_shape_and_type(portrait):
    clip = _clip(portrait)
    assert clip.shape == (10, 96, 96, 3) and clip.dtype == np.uint8


def test_equal_seeds_equal_clips_other_seeds_other_motion(portrait):
    np.testing.assert_array_equal(_clip(portrait, 1), _clip(portrait, 1))
    assert np.abs(_clip(portrait, 1).astype(int) - _clip(portrait, 2)).mean() > 5


def test_without_motion_the_view_is_the_picture_around_the_nose(portrait):
    clip = _clip(portrait, strength=STILL)
    np.testing.assert_array_equal(clip[0], clip[-1])
    # 3 head units of 84 pixels are 252 pixels of the picture.
    half = 1.5 * portrait.unit
    for row, column in ((10, 20), (48, 48), (80, 33)):
        x = 160 + ((column + 0.5) / 96 - 0.5) * 2 * half
        y = 178.75 + ((row + 0.5) / 96 - 0.5) * 2 * half
        near = portrait.image[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert near.min() - 20 <= clip[0, row, column].min() <= near.max() + 20


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll", "sway", "pan", "zoom", "light", "noise"])
def test_every_strength_has_an_effect(portrait, name):
    still = _clip(portrait, strength=STILL).astype(int)
    values = {**STILL.__dict__, name: getattr(Strength(), name)}
    moving = _clip(portrait, strength=Strength(**values)).astype(int)
    assert np.abs(moving - still).mean() > 0.5


@pytest.mark.parametrize("name", ["yaw", "pitch", "roll", "sway"])
def test_the_head_moves_and_the_background_stays(portrait, name):
    small = Portrait(portrait.image, TEMPLATE / 2 + 80)
    values = {**STILL.__dict__, name: getattr(Strength(), name)}
    still, moving = (
        np.stack(list(animate(small, 10, 25.0, 96, 6.0, 1, strength))).astype(int)
        for strength in (STILL, Strength(**values))
    )
    difference = np.abs(moving - still).mean((0, 3))
    corners = [difference[:6, :6], difference[:6, -6:], difference[-6:, :6], difference[-6:, -6:]]
    assert max(corner.mean() for corner in corners) < 0.5 < 5 < difference[40:56, 40:56].mean()
