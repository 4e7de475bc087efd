import numpy as np
import pytest

from deepfake.faces.boxes import crop_face
from training.transforms.padding import narrow_margin


@pytest.mark.parametrize("part", [4, 6, 10])
def test_is_the_crop_of_a_narrower_margin(part):
    frame = np.arange(400 * 400).reshape(400, 400, 1)
    box = (120, 90, 210, 240)
    narrowed = narrow_margin(crop_face(frame, box), part)
    wanted = crop_face(frame, box, margin=part)
    assert abs(narrowed.shape[0] - wanted.shape[0]) <= 2 and abs(narrowed.shape[1] - wanted.shape[1]) <= 2
    assert abs(int(narrowed[0, 0, 0]) // 400 - int(wanted[0, 0, 0]) // 400) <= 1, "same top row"


def test_a_third_is_what_crops_have():
    image = np.zeros((50, 35, 3))
    assert narrow_margin(image, 3).shape == image.shape
    with pytest.raises(ValueError, match="padding part 2"):
        narrow_margin(image, 2)
