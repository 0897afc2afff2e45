"""Overlay picture of a test case: ground truth on the left, prediction on the right."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from monai_ssl.files import atomic

_COLORS = np.array(
    [[0, 0, 0], [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [213, 94, 0], [204, 121, 167]], np.float64
)
"""Of Okabe and Ito, told apart by color-blind readers."""
_HEIGHT = 192


class Slice(NamedTuple):
    """A slice: image in [0, 1], true and found classes, each (columns, rows)."""

    image: Tensor
    truth: Tensor
    found: Tensor


def thickest_slice(image: Tensor, truth: Tensor, found: Tensor) -> Slice:
    """Return the slice across the last axis with most foreground; an image in 2-D is its own slice.

    Args:
        image: (C, *spatial); the first channel is shown.
        truth: (*spatial) classes.
        found: (*spatial) classes.
    """
    if truth.ndim == 2:
        return Slice(image[0].clone(), truth.clone(), found.clone())
    at = int((truth > 0).flatten(0, 1).sum(0).argmax())
    return Slice(image[0, ..., at].clone(), truth[..., at].clone(), found[..., at].clone())


def last_of(maps: Tensor, first: int = 0) -> Tensor:
    """Return which of maps (C, *spatial) of 0 and 1 is the last one with a voxel, counted from ``first``; 0 for none.

    >>> last_of(torch.tensor([[1, 1, 0], [0, 1, 0]]), first=1)
    tensor([1, 2, 0])
    """
    numbers = torch.arange(first, first + len(maps)).view(-1, *[1] * (maps.ndim - 1))
    return ((maps > 0) * numbers).amax(0)


def draw(part: Slice, path: Path) -> None:
    """Write both halves side by side as a PNG."""
    gray = part.image.clamp(0, 1).numpy().astype(np.float64) * 255
    halves = [_overlay(gray, classes) for classes in (part.truth, part.found)]
    sheet = np.concatenate([halves[0], np.full((halves[0].shape[0], 2, 3), 255, np.uint8), halves[1]], 1)
    picture = Image.fromarray(sheet)
    scale = max(1, round(_HEIGHT / picture.height))
    with atomic(path) as file:
        picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(file, "PNG")


def _overlay(gray: NDArray[np.float64], classes: Tensor) -> NDArray[np.uint8]:
    labels = classes.to(torch.int64).numpy()
    colors = _COLORS[np.where(labels > 0, (labels - 1) % (len(_COLORS) - 1) + 1, 0)]
    inside = (labels > 0)[..., None]
    mixed = np.where(inside, 0.5 * gray[..., None] + 0.5 * colors, gray[..., None])
    # arrays run to the right and to the front, pictures down
    return np.ascontiguousarray(mixed.round().astype(np.uint8).transpose(1, 0, 2)[::-1])
