"""Adapt the first convolution to another number of input channels."""

from __future__ import annotations

from torch import Tensor


def inflate_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a convolution's weight for ``channels`` input channels, with the same response on equal channels.

    More channels: the weight is repeated and divided by the number of repeats (PCRLv2 on BraTS: one channel becomes
    four). One channel: the channels are summed, so that a gray image is seen as its color copy was.

    Args:
        weight: (out, in, *kernel).
        channels: wanted; a multiple of ``in``, or 1.

    Raises:
        ValueError: for any other number.
    """
    have = weight.shape[1]
    if channels % have == 0:
        repeats = channels // have
        return weight.repeat(1, repeats, *(1 for _ in weight.shape[2:])) / repeats
    if channels == 1:
        return weight.sum(1, keepdim=True)
    raise ValueError(
        f"A first convolution for {have} channels cannot be inflated to {channels}: only to a multiple of {have} or "
        "to 1. Choose the image channels accordingly, or pre-train on images of that many channels."
    )
