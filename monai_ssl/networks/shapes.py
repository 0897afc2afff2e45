"""Checks of image sizes that name the remedy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_divisible(x: Tensor, stride: int, owner: str) -> None:
    """Raise ``ValueError`` unless every spatial size of ``x`` (B, C, *spatial) is a multiple of ``stride``."""
    spatial = tuple(x.shape[2:])
    if any(size % stride for size in spatial):
        raise ValueError(
            f"{owner} halves images until 1/{stride}, so each side must be divisible by {stride}, but got {spatial}. "
            f"Nearest sizes that work: {nearest_multiples(spatial, stride)}."
        )


def check_channels(x: Tensor, channels: int, owner: str) -> None:
    """Raise ``ValueError`` unless ``x`` (B, C, *spatial) has ``channels`` channels."""
    if x.shape[1] != channels:
        raise ValueError(
            f"{owner} was built for images of {channels} channels, but got {x.shape[1]}: repeat channels with "
            f"`channels` of the crop, or build the encoder with `in_channels` {x.shape[1]}."
        )


def nearest_multiples(sizes: Sequence[int], stride: int) -> tuple[int, ...]:
    """Return the multiples of ``stride``, at least one, that are nearest to ``sizes``."""
    return tuple(max(stride, round(size / stride) * stride) for size in sizes)
