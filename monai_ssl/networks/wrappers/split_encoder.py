"""Two encoders side by side, each seeing its part of the image (CMC: Tian, Krishnan, Isola, ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.wrappers.headed_encoder import with_channels_of


class SplitEncoder(Encoder):
    """Two encoders of equal strides; a map holds the channels of the first, then those of the second.

    The parts are groups of channels (registered sequences, windows of one CT, color and lightness); an image of one
    kind, which has no channels to part, becomes image and gradient magnitude.

    Args:
        first: sees the first part.
        second: sees the second part.
        groups: channels of the two parts; ``None`` for image and gradient magnitude.
        in_channels: of the image; ``None`` for what ``first`` and ``groups`` say.

    Raises:
        ValueError: when the encoders do not fit their parts or each other.

    >>> from monai_ssl.networks import ConvEncoder
    >>> both = SplitEncoder(ConvEncoder(2, widths=(2, 4)), ConvEncoder(2, in_channels=2, widths=(2, 4)), [[0], [1, 2]])
    >>> both.in_channels, both.channels, both.pooled(torch.rand(2, 3, 8, 8)).shape
    (3, (4, 8), torch.Size([2, 8]))
    """

    def __init__(
        self,
        first: Encoder,
        second: Encoder,
        groups: Sequence[Sequence[int]] | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        if groups is None:
            first, second = (with_channels_of(encoder, in_channels) for encoder in (first, second))
            sizes, self.in_channels = [first.in_channels] * 2, first.in_channels
        else:
            sizes, self.in_channels = _checked(groups, in_channels)
        if [first.in_channels, second.in_channels] != sizes:
            raise ValueError(
                f"The parts have {sizes[0]} and {sizes[1]} channels, but `first` was built for {first.in_channels} and "
                f"`second` for {second.in_channels}: set their `in_channels`."
            )
        if (first.strides, first.spatial_dims) != (second.strides, second.spatial_dims):
            raise ValueError("`first` and `second` must have the same strides and axes, to stand side by side.")
        self.first, self.second, self.groups = first, second, groups
        self.spatial_dims, self.strides = first.spatial_dims, first.strides
        self.channels = tuple(a + b for a, b in zip(first.channels, second.channels, strict=True))
        self.expansion, self.blocks = first.expansion, first.blocks

    def forward(self, x: Tensor) -> list[Tensor]:
        one, two = self.parts(x)
        return [torch.cat(pair, dim=1) for pair in zip(self.first(one), self.second(two), strict=True)]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the two encoders see of images (B, in_channels, *spatial)."""
        if self.groups is None:
            return x, gradient_magnitude(x)
        first, second = ([int(c) for c in group] for group in self.groups)
        return x[:, first], x[:, second]

    def halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors (B, channels[-1]) of the two encoders, which know nothing of each other."""
        one, two = self.parts(x)
        return self.first.pooled(one), self.second.pooled(two)


def gradient_magnitude(x: Tensor) -> Tensor:
    """Return the length of the gradient of images (B, C, *spatial) by central differences, of the same shape.

    >>> gradient_magnitude(torch.arange(4.0).expand(1, 1, 4, 4))[0, 0, 0].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    axes = tuple(range(2, x.ndim))
    slopes = torch.gradient(x, dim=axes)
    return torch.stack(slopes).square().sum(0).sqrt()


def _checked(groups: Sequence[Sequence[int]], in_channels: int | None) -> tuple[list[int], int]:
    if len(groups) != 2 or not all(len(group) for group in groups):
        raise ValueError(
            f"`groups` must be two lists of channels such as [[0], [1, 2]], got {groups}: two parts are compared. An "
            "image of one channel has none; leave `groups` out to compare it with its gradient magnitude."
        )
    needed = 1 + max(channel for group in groups for channel in group)
    count = needed if in_channels is None else in_channels
    if needed > count or min(channel for group in groups for channel in group) < 0:
        raise ValueError(f"`groups` {groups} name channels that an image of {count} channels has not.")
    return [len(group) for group in groups], count
