"""Encoder, the contract of all backbones: list of feature maps, channels, strides; global average pooling."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from monai_ssl.arguments import check_channels, nearest_multiples

_LISTS = (nn.ModuleList, nn.Sequential)


class Encoder(nn.Module):
    """Maps images (B, in_channels, *spatial) to a list of feature maps, fine to coarse.

    Attributes:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        channels: of each map.
        strides: of each map relative to the image, powers of 2.
        expansion: how many times wider the coarsest map is than the convolutions that decode it expect, 4 for
            bottleneck blocks.
        blocks: classes of the modules whose insides activation checkpointing computes again.
    """

    spatial_dims: int
    in_channels: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    expansion: int = 1
    blocks: tuple[type[nn.Module], ...] = ()
    needs_two_voxels: bool = False
    """Whether the coarsest map must have two voxels at least: the instance norm of a single one is not defined."""

    def pooled(self, x: Tensor) -> Tensor:
        """Return the vector (B, width) of images ``x`` (B, in_channels, *spatial)."""
        return self.pool(self(x))

    @property
    def width(self) -> int:
        """Length of the vector of an image."""
        return self.channels[-1]

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        """Return the vector (B, width) of feature maps: the average of the coarsest one, unless a class says more."""
        return average(features[-1])

    def nearest_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the spatial size nearest to ``size`` that the network takes: multiples of the last stride."""
        stride = self.strides[-1]
        nearest = nearest_multiples(size, stride)
        alone = self.needs_two_voxels and max(nearest) == stride
        return tuple(2 * stride for _ in nearest) if alone else nearest

    def check_images(self, x: Tensor) -> None:
        """Check images (B, C, *spatial) before they enter.

        Raises:
            ValueError: when they have other channels than ``in_channels``, or a size that the network cannot take; it
                names the nearest that it can.
        """
        owner, size = type(self).__name__, tuple(x.shape[2:])
        check_channels(x, self.in_channels, owner)
        if (nearest := self.nearest_size(size)) != size:
            wanted = f"each side must be divisible by {self.strides[-1]}"
            if self.needs_two_voxels and size == (self.strides[-1],) * len(size):
                wanted = "its norm needs more than one voxel in the coarsest map"
            raise ValueError(
                f"{owner} cannot take images of {size}: {wanted}; the nearest size that it can take is {nearest}."
            )

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters by depth, first to last: those of each child, lists of them taken apart."""
        children: list[nn.Module] = [self]
        while len(children) == 1:
            children = [child for child in children[0].children() if next(child.parameters(), None) is not None]
        parts = [part for child in children for part in (child if isinstance(child, _LISTS) else [child])]
        layers = [found for part in parts if (found := list(part.parameters()))]
        inside = {id(parameter) for layer in layers for parameter in layer}
        layers[0] = [p for p in self.parameters() if id(p) not in inside] + layers[0]
        return layers

    def unet_decoder(self, *, skips: bool) -> nn.Module | None:
        """Return the decoder that belongs to this architecture; ``None``, the default: that of the papers.

        It has ``channels`` (of its maps), ``levels(features)`` (yields its maps, coarse to fine) and ``forward``
        (returns them as a list), like :class:`monai_ssl.networks.UNetDecoder`.

        Args:
            skips: give it the encoder's finer maps.
        """
        del skips
        return None


def average(x: Tensor) -> Tensor:
    """Return the average (B, C) of a map (B, C, *spatial) over its positions: global average pooling."""
    return x.flatten(2).mean(2)
