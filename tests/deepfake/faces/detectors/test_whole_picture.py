"""Finished face crops: each picture is a face, cut out or aligned as it is."""

import cv2
import numpy as np

from deepfake.faces.align import align_largest
from deepfake.faces.boxes import crop_face
from deepfake.faces.detectors.settings.whole_picture import WholePictureSettings
from deepfake.faces.recipes import AlignRecipe, CropRecipe, recipe_from_dict, recipe_to_dict


def test_a_picture_is_one_face_that_keeps_its_surroundings():
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    ((face,), (small,)) = WholePictureSettings().build().detect([image, image[:40, :40]])
    assert (face.box, small.box) == ((0, 0, 120, 90), (0, 0, 40, 40))
    assert np.array_equal(crop_face(image, face.box), image)


def test_aligning_only_scales_it():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (640, 640, 3), dtype=np.uint8), (0, 0), 20)
    _, aligned = align_largest(image, WholePictureSettings().build().detect([image])[0], 320)
    scaled = cv2.resize(image, (320, 320))
    assert np.abs(aligned.astype(int) - scaled)[8:-8, 8:-8].mean() < 1


def test_recipes_with_it_are_kept():
    for recipe in (CropRecipe(WholePictureSettings()), AlignRecipe(WholePictureSettings())):
        assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
