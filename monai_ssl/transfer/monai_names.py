"""Find the encoder of a network of MONAI in a state dict that has MONAI's own names, whatever stands before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.networks import MonaiEncoder


def as_in(encoder: MonaiEncoder, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Return the tensors of ``encoder`` by its names; all as they are when it has them already, or none is found.

    The file may hold the whole network, ``swinViT.*`` and decoder, in a wrapper such as ``backbone.``, or the encoder
    alone, without the first word of its names.

    Raises:
        ValueError: when the file holds several such encoders.

    >>> from monai.networks.nets import SegResNet
    >>> network = SegResNet(spatial_dims=2, init_filters=8)
    >>> file = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    >>> encoder = MonaiEncoder(network)
    >>> as_in(encoder, file, "the file").keys() == encoder.state_dict().keys()
    True
    """
    wanted = encoder.state_dict().keys()
    if wanted & tensors.keys():
        return dict(tensors)
    own = [name.removeprefix("net.") for name in wanted]
    for cut in (0, own[0].find(".") + 1):
        if found := _under_a_prefix(own, cut, tensors, origin):
            return {f"net.{name}": tensor for name, tensor in found.items()}
    return dict(tensors)


def _under_a_prefix(own: Sequence[str], cut: int, tensors: Mapping[str, Tensor], origin: str) -> dict[str, Tensor]:
    first = own[0][cut:]
    prefixes = [name.removesuffix(first) for name in tensors if f".{name}".endswith(f".{first}")]
    found = [{name: tensors[p + name[cut:]] for name in own if p + name[cut:] in tensors} for p in prefixes]
    most = max(map(len, found), default=0)
    best = [prefix for prefix, names in zip(prefixes, found, strict=True) if len(names) == most]
    if len(best) > 1 and most > 1:
        raise ValueError(
            f"{origin} holds the encoder more than once (under {' and '.join(map(repr, best))}); save the one to load."
        )
    return max(found, key=len, default={})


__all__ = ["as_in"]
