"""A network that is only looked at: its modes stay as they were, its images come to where it lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Put networks into evaluation mode for the time; afterwards every module has the mode that it had."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def device_of(network: nn.Module) -> torch.device:
    """Return where the parameters (or buffers) of a network are; the CPU when it has none."""
    for tensor in (*network.parameters(), *network.buffers()):
        return tensor.device
    return torch.device("cpu")


def images_of(batches: Iterable[Any], key: str = "image") -> Iterator[Tensor]:
    """Give the images (B, C, *spatial) of each batch: a tensor, or a dictionary that holds them as ``key``.

    Raises:
        TypeError: for another kind of batch.
        KeyError: when a dictionary has no such key.
    """
    for batch in batches:
        image = batch
        if isinstance(batch, Mapping):
            if key not in batch:
                raise KeyError(f"A batch has no images `{key}`, only {sorted(map(str, batch))}; name one by `key`.")
            image = batch[key]
        if not isinstance(image, Tensor):
            raise TypeError(f"A batch must be a tensor or a dictionary with tensors, got {type(image).__name__}.")
        yield image.as_subclass(Tensor)


__all__ = ["device_of", "evaluating", "images_of"]
