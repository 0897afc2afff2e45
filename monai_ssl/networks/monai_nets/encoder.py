"""MonaiEncoder: a network of MONAI as an encoder, with the network's own decoder and its own names of weights."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch
from monai.bundle import config_item
from torch import Tensor, nn
from torch.func import functional_call

from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.monai_nets.layouts import LAYOUTS, Layout, layout_of
from monai_ssl.networks.recipe import build, network_class, noted, recipe_of, remember

_MEMO = "_monai_ssl_encoder"
_IMAGE_CHANNELS = ("in_channels", "n_input_channels", "in_chans")


class MonaiEncoder(Encoder):
    """The encoder of a network of MONAI, and its decoder for U-Nets built on it.

    Known are UNet, BasicUNet, DynUNet, SegResNet, SegResNetDS, SwinUNETR, UNETR, ViT, FlexibleUNet, ResNet, DenseNet
    and EfficientNet. ``unet_decoder`` is MONAI's own, where the class has one. The output layer is left out: it belongs
    to a task. All tensors keep the names that they have in the network, behind ``net.``.

    The finest map of SwinUNETR and UNETR is the image itself, which their decoders begin with.

    Args:
        network: taken apart: encoder here, decoder in ``unet_decoder``.
        in_channels: of the image; another number than the network's builds it anew.

    Shapes:
        (B, in_channels, *spatial) -> maps at ``strides``, fine to coarse. Sizes that the network cannot take are
        refused with the nearest that it can.

    Raises:
        ValueError: for a network that is not known, one that halves axes differently or not by powers of 2.

    >>> import torch
    >>> from monai.networks.nets import SegResNet
    >>> encoder = MonaiEncoder(SegResNet(spatial_dims=2, init_filters=8, in_channels=1, out_channels=3))
    >>> [tuple(x.shape) for x in encoder(torch.rand(1, 1, 16, 16))]
    [(1, 8, 16, 16), (1, 16, 8, 8), (1, 32, 4, 4), (1, 64, 2, 2)]
    """

    def __init__(self, network: nn.Module, in_channels: int | None = None) -> None:
        super().__init__()
        first = _first_convolution(network)
        if in_channels not in (None, first.in_channels):
            network = _with_channels(network, in_channels)
            first = _first_convolution(network)
        layout = layout_of(network)
        given = noted(network)
        if given is not None:
            network_class(given[0], {given[0]})  # a function that makes a network cannot stand in a model card
        self._size = layout.image_size(network, None if given is None else given[1].get("img_size"))
        decoder = copy.deepcopy(network)
        self.net = _only(network, layout.encoder(network))
        self.spatial_dims, self.in_channels = first.weight.ndim - 2, first.in_channels
        self.blocks = layout.blocks
        for name, parameter in self.net.named_parameters():
            if "norm_cross_attn" in name:  # which MONAI's transformer has and does not use
                parameter.requires_grad_(False)
        # not registered: an encoder that is pre-trained alone has no decoder to train
        self._layout, self._decoder = layout, (decoder,)
        self.needs_two_voxels = any(isinstance(m, nn.modules.instancenorm._InstanceNorm) for m in decoder.modules())
        self.channels, self.strides = self._probed()
        remember(self, "monai_ssl.networks.MonaiEncoder", {"network": network})

    def _probed(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and strides of the maps, seen in a pass without data."""
        size = self._size or (256,) * self.spatial_dims
        self.strides = (1,)
        state = {name: t.to("meta") for name, t in (*self.named_parameters(), *self.named_buffers())}
        mode = self.training
        maps = functional_call(self.eval(), state, (torch.empty(1, self.in_channels, *size, device="meta"),))
        self.train(mode)
        strides = [{side // own for side, own in zip(size, x.shape[2:], strict=True)} for x in maps]
        wrong = [s for s in strides if len(s) > 1 or min(s) & (min(s) - 1)]
        if wrong:
            raise ValueError(
                f"{type(self.net).__name__} halves its axes differently, or not by powers of 2 ({sorted(wrong[0])}): "
                "give equal strides and patch sizes of 2, 4, 8 or 16 for all axes."
            )
        return tuple(x.shape[1] for x in maps), tuple(min(s) for s in strides)

    def nearest_size(self, size: Sequence[int]) -> tuple[int, ...]:
        return super().nearest_size(size) if self._size is None else self._size

    def unet_decoder(self, *, skips: bool) -> nn.Module | None:
        if not skips or self._layout.decode is None:
            return None
        return MonaiDecoder(copy.deepcopy(self._decoder[0]), self._layout, self)

    def own_state(self, decoder: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the tensors of the encoder, and of its decoder, under the names that the network itself has.

        ``network.load_state_dict(own_state, strict=False)`` takes them all; what the network does not have is left out.
        """
        state: dict[str, Tensor] = dict(self.net.state_dict())
        if isinstance(decoder, MonaiDecoder):
            state |= decoder.net.state_dict()
        whole = self._decoder[0].state_dict()
        return {name: t for name, t in state.items() if name in whole and whole[name].shape == t.shape}

    def forward(self, x: Tensor) -> list[Tensor]:
        self.check_images(x)
        return self._layout.encode(self.net, x)


class MonaiDecoder(nn.Module):
    """The decoder of a network of MONAI without its output layer, see :class:`MonaiEncoder`.

    Args:
        network: the whole network; only its decoder is kept.
        layout: of its class.
        encoder: of the same network, to see the channels of the levels.
    """

    def __init__(self, network: nn.Module, layout: Layout, encoder: MonaiEncoder) -> None:
        super().__init__()
        layout.ready(network)
        self.net = _only(network, layout.decoder(network))
        self._layout = layout
        size = encoder.nearest_size([encoder.strides[-1]] * encoder.spatial_dims)
        maps = [
            torch.empty(1, channels, *(side // stride for side in size), device="meta")
            for channels, stride in zip(encoder.channels, encoder.strides, strict=True)
        ]
        state = {name: t.to("meta") for name, t in (*self.named_parameters(), *self.named_buffers())}
        mode = self.training
        self.channels = tuple(level.shape[1] for level in functional_call(self.eval(), state, (maps,)))
        self.train(mode)

    def levels(self, features: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the maps of the levels, coarse to fine; a level that is not asked for is not computed."""
        assert self._layout.decode is not None
        return self._layout.decode(self.net, features)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return list(self.levels(features))


def as_encoder(network: nn.Module) -> nn.Module:
    """Return a network of MONAI as an encoder, the same one each time; anything else as it is.

    >>> from monai.networks.nets import SegResNet
    >>> network = SegResNet(spatial_dims=2)
    >>> as_encoder(network) is as_encoder(network)
    True
    """
    if not isinstance(network, tuple(LAYOUTS)):
        return network
    if not hasattr(network, _MEMO):
        object.__setattr__(network, _MEMO, (MonaiEncoder(network),))
    found: nn.Module = getattr(network, _MEMO)[0]
    return found


def _first_convolution(network: nn.Module) -> Any:
    return next(m for m in network.modules() if isinstance(m, nn.modules.conv._ConvNd))


def _with_channels(network: nn.Module, channels: int | None) -> nn.Module:
    known = inspect.signature(type(network)).parameters
    name = next((name for name in _IMAGE_CHANNELS if name in known), None)
    if name is None:
        raise ValueError(f"{type(network).__name__} says nothing of image channels; build it for {channels} of them.")
    return build(recipe_of(network), {recipe_of(network)["_target_"]}, **{name: channels})


def _only(network: nn.Module, names: Collection[str], prefix: str = "") -> nn.Module:
    """Leave nothing but the modules of these names; those that hold one of them stay, too."""
    for name, child in list(network.named_children()):
        whole = f"{prefix}{name}"
        if whole in names:
            continue
        if any(kept.startswith(f"{whole}.") for kept in names):
            _only(child, names, f"{whole}.")
        elif next(child.parameters(), None) is not None or next(child.buffers(), None) is not None:
            setattr(network, name, nn.Identity())
    return network


def _adapting(instantiate: Callable[..., Any]) -> Callable[..., Any]:
    def instantiated(target: Any, mode: str, /, **arguments: Any) -> Any:
        given = arguments.get("encoder")
        if isinstance(given, nn.Module):
            arguments["encoder"] = as_encoder(given)
        return instantiate(target, mode, **arguments)

    return instantiated


# a configuration may name MONAI's class as its `encoder`, without this one around it
config_item.instantiate = _adapting(config_item.instantiate)
