"""WS-DAN's crop and drop: the published figures, degenerate maps, and one picture after the other."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from training.transforms.attention import attention_boxes, crop_attended, draw_maps, drop_attended


def reference_input():
    attention = torch.zeros(3, 1, 10, 10)
    attention[0, 0, 2:5, 6:9] = 1
    attention[0, 0, 3, 7] = 2
    attention[1, 0] = torch.linspace(0, 1, 100).view(10, 10)
    attention[2, 0, 9, 0] = 1
    images = torch.arange(3 * 3 * 80 * 80).view(3, 3, 80, 80) / (3 * 3 * 80 * 80)
    return images, attention


@pytest.mark.parametrize("theta", [0.4, 0.5, 0.6])
def test_published_figures(reference, theta):
    record = reference("second_place_steps")["batch_augment"][str(theta)]
    images, attention = reference_input()
    threshold = torch.full((3,), theta)
    cropped = crop_attended(images, attention, threshold, padding=0.1)
    assert cropped.mean((1, 2, 3)).tolist() == pytest.approx(record["crop_means"], rel=1e-5)
    corners = cropped[:, 0][:, [0, 0, -1, -1], [0, -1, 0, -1]]
    torch.testing.assert_close(corners, torch.tensor(record["crop_corners"]), rtol=1e-5, atol=0)
    dropped = drop_attended(images, attention, threshold)
    assert (dropped[:, 1] == 0).sum((1, 2)).tolist() == record["dropped_pixels"]
    kept = dropped != 0
    assert torch.equal(dropped[kept], images[kept])


def plain(image, attention, theta, padding):
    """One picture (c, H, W) and map (h, w): its crop and its drop, step by step."""
    height, width = image.shape[1:]
    large = interpolate(attention[None, None], size=(height, width), mode="bilinear", align_corners=True)[0, 0]
    limit = attention.max() * theta
    rows, columns = torch.nonzero(large >= limit, as_tuple=True)
    box = [0, height, 0, width]
    if limit > 0 and len(rows):
        top, left = (max(int(v.min().item() - padding * s), 0) for v, s in ((rows, height), (columns, width)))
        bottom, right = (min(int(v.max().item() + padding * s), s) for v, s in ((rows, height), (columns, width)))
        box = [top, bottom, left, right] if min(bottom - top, right - left) >= 2 else box
    part = image[None, :, box[0] : box[1], box[2] : box[3]]
    crop = interpolate(part, size=(height, width), mode="bilinear", align_corners=True)[0]
    return box, crop, image * (large < limit) if limit > 0 else image


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 9), st.integers(8, 40), st.integers(8, 40),
    st.floats(0.05, 1), st.sampled_from([0, 0.05, 0.1, 0.3]), st.sampled_from([0, 1, 8]),
)  # fmt: skip
def test_a_batch_is_what_its_pictures_are_alone(seed, rows, columns, height, width, theta, padding, power):
    torch.manual_seed(seed)
    images = torch.rand(4, 2, height, width, dtype=torch.float64)
    attention = torch.rand(4, 1, rows, columns) ** power * torch.tensor([1.0, 0.0, 1e-3, 1e3]).view(4, 1, 1, 1)
    threshold = torch.tensor([theta, theta, 0.4, 0.7])
    boxes = attention_boxes(attention, (height, width), threshold, padding)
    cropped = crop_attended(images, attention, threshold, padding)
    dropped = drop_attended(images, attention, threshold)
    for n in range(4):
        top, bottom, left, right = boxes[n].tolist()
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        box, crop, drop = plain(images[n], attention[n, 0], threshold[n], padding)
        assert boxes[n].tolist() == box
        torch.testing.assert_close(cropped[n], crop, rtol=1e-9, atol=1e-9)
        assert torch.equal(dropped[n], drop)


@pytest.mark.parametrize(
    "attention",
    [torch.zeros(1, 1, 5, 5), torch.full((1, 1, 5, 5), math.nan), torch.eye(25)[7].view(1, 1, 5, 5)],
    ids=["nothing", "no number", "a point narrower than a box"],
)
def test_maps_without_a_box_give_the_whole_picture(attention):
    images = torch.rand(1, 3, 25, 25)
    threshold = torch.ones(1)
    cropped = crop_attended(images, attention, threshold, padding=0)
    torch.testing.assert_close(cropped, images)
    dropped = drop_attended(images, attention, threshold)
    assert (dropped != images).any(1).sum() == (1 if attention.max() == 1 else 0)


def test_a_box_of_one_row_is_no_box():
    attention = torch.zeros(1, 1, 24, 24)
    attention[0, 0, 10, 3:20] = 1
    assert attention_boxes(attention, (24, 24), torch.ones(1), 0.05).tolist() == [[8, 11, 1, 20]]
    assert attention_boxes(attention, (24, 24), torch.ones(1), 0.0).tolist() == [[0, 24, 0, 24]]


def test_half_precision_maps_are_compared_in_single():
    images, attention = reference_input()
    threshold = torch.full((3,), 0.5)
    cropped = crop_attended(images, attention.half(), threshold, 0.1)
    torch.testing.assert_close(cropped, crop_attended(images, attention.half().float(), threshold, 0.1))
    assert drop_attended(images, attention.half(), threshold).dtype == torch.float32


def test_maps_are_drawn_by_the_square_root_of_their_sums():
    torch.manual_seed(0)
    sums = torch.tensor([0.0, 1.0, 4.0, 9.0])
    attention = (sums / 4).view(1, 4, 1, 1).expand(2000, 4, 2, 2)
    drawn = draw_maps(attention, 2)
    assert drawn.shape == (2000, 2, 2, 2)
    for which in (0, 1):
        shares = [(drawn[:, which, 0, 0] == s / 4).float().mean().item() for s in sums]
        assert shares == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6], abs=0.04)
    assert (drawn[:, 0] == drawn[:, 1]).all((1, 2)).float().mean() == pytest.approx(14 / 36, abs=0.04), (
        "with replacement"
    )


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_drawing_copes_with_any_map(value):
    assert draw_maps(torch.full((3, 8, 2, 2), value), 2).shape == (3, 2, 2, 2)
