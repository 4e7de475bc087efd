"""Cropping and dropping what a network looks at (WS-DAN, Hu et al. 2019), for a whole batch on its device.

Attention maps are smaller than pictures; they are up-sampled bilinearly with aligned corners, as the crop is resized.
Where a map has no maximum above 0 there is nothing to look at: the crop is the whole picture, and nothing is dropped
(`0 < 0` would drop all of it).
"""

from __future__ import annotations

import torch
from torch.nn.functional import grid_sample, interpolate

EPSILON = 1e-12
"""Added to the sums of maps: a sample whose maps are all 0 draws any."""
MIN_SIDE = 2
"""A box narrower than this shows nothing: the crop is the whole picture."""


def draw_maps(attention: torch.Tensor, count: int) -> torch.Tensor:
    """Draws maps of each sample with replacement, probability proportional to the square root of their sums.

    Args:
        attention: (n, maps, h, w), 0 or more.

    Returns:
        (n, count, h, w).
    """
    # Values that are no numbers make the loss none, which the engine tells; drawing must not crash before.
    weights = torch.nan_to_num((attention.float().sum((2, 3)) + EPSILON).sqrt(), nan=1.0, posinf=1.0)
    drawn = torch.multinomial(weights, count, replacement=True)
    return attention[torch.arange(len(attention), device=attention.device)[:, None], drawn]


def crop_attended(
    images: torch.Tensor, attention: torch.Tensor, threshold: torch.Tensor, padding: float
) -> torch.Tensor:
    """Each picture's box of attention, resized to the whole picture's size.

    Args:
        images: (n, c, H, W).
        attention: (n, 1, h, w).
        threshold: (n,); a pixel is looked at from this part of the map's maximum on.
        padding: added around the box, as a part of the picture's side.
    """
    height, width = images.shape[2:]
    boxes = attention_boxes(attention, (height, width), threshold, padding)
    rows, columns = (
        _samples(boxes[:, i], boxes[:, i + 1], size, images.dtype) for i, size in ((0, height), (2, width))
    )
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)], dim=-1
    )  # (n, H, W, 2): x before y
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def drop_attended(images: torch.Tensor, attention: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """Pictures with what is looked at set to 0; arguments as for `crop_attended`."""
    return images.masked_fill(_seen(attention, images.shape[2:], threshold), 0.0)


def attention_boxes(
    attention: torch.Tensor, size: tuple[int, int], threshold: torch.Tensor, padding: float
) -> torch.Tensor:
    """Boxes around what is looked at: (n, 4) int64 first row, end of rows, first column, end of columns; ends are
    exclusive. All are inside a picture of `size` (height, width) and at least `MIN_SIDE` a side."""
    seen = _seen(attention, size, threshold)[:, 0]
    sides = [_padded(seen.any(dim=dim), padding) for dim in (2, 1)]  # any over columns: rows
    boxes = torch.stack([edge for side in sides for edge in side], dim=1)
    whole = boxes.new_tensor([0, size[0], 0, size[1]])
    narrow = torch.minimum(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]) < MIN_SIDE
    return torch.where(narrow[:, None], whole, boxes)


def _padded(seen: torch.Tensor, padding: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, length) bool -> first and end of what is seen, padded, truncated to whole pixels and clipped; nothing seen
    gives an empty range."""
    length = seen.shape[1]
    positions = torch.arange(length, device=seen.device)
    first = torch.where(seen, positions, length).amin(1).double()
    last = torch.where(seen, positions, -1).amax(1).double()
    pad = padding * length
    start, end = (first - pad).trunc().clamp(min=0), (last + pad).trunc().clamp(max=length)
    end = torch.where(seen.any(1), end, start)
    return start.long(), end.long()


def _samples(first: torch.Tensor, end: torch.Tensor, length: int, dtype: torch.dtype) -> torch.Tensor:
    """Where each of `length` output pixels looks between `first` and `end`: (n, length) in -1..1 of the whole."""
    steps = torch.linspace(0, 1, length, device=first.device, dtype=torch.float64)
    positions = first[:, None] + steps * (end - 1 - first)[:, None]
    return (positions * 2 / (length - 1) - 1).to(dtype)


def _seen(attention: torch.Tensor, size: tuple[int, int] | torch.Size, threshold: torch.Tensor) -> torch.Tensor:
    """(n, 1, height, width) bool: where the up-sampled map is at the threshold's part of the small map's maximum."""
    small = attention.float()
    limit = small.amax((1, 2, 3), keepdim=True) * threshold.float().view(-1, 1, 1, 1)
    return (interpolate(small, size=tuple(size), mode="bilinear", align_corners=True) >= limit) & (limit > 0)
