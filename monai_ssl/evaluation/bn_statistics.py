"""Batch norm running statistics: recompute them on target data (AdaBN), and the distance between two sets.

Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157, Eq. 15. The study's code normalizes with each test batch instead, which
makes a prediction depend on its batch-mates; here statistics are collected once, from training images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from monai_ssl.evaluation.frozen import images_of
from monai_ssl.networks import Encoder
from monai_ssl.networks.modes import device_of, evaluating

_logger = logging.getLogger(__name__)
_ENOUGH_BATCHES = 100

Statistics = Mapping[str, tuple[Tensor, Tensor]]
"""Running mean and variance (C,) of each layer, by its name."""


@dataclass(frozen=True)
class BNDistance:
    """How far statistics are apart.

    Attributes:
        total: sum over layers, Eq. 15; wide layers rule it.
        layers: the share of each layer.
        per_channel: that of each layer as if it had one channel, so that layers of different widths compare.
    """

    total: float
    layers: dict[str, float]
    per_channel: dict[str, float]


def recollect_bn(network: nn.Module, batches: Iterable[Any], key: str = "image") -> int:
    """Replace the running statistics of all batch norms of a network by those of the images given.

    Statistics are reset and averaged over batches of equal weight, so all should be of one size; the study's protocol
    asks for 100 batches at least of training images of the target, without augmentation. Only batch norms see the
    batch: dropout rests, and no weight, mode or momentum changes. Other than ``torch.optim.swa_utils.update_bn`` it
    reaches layers that are frozen, and leaves alone those that the network does not use.

    Args:
        network: its batch norms are changed in place.
        batches: tensors (B, C, *spatial), or dictionaries with them, such as a data loader's.
        key: of the images in a dictionary.

    Returns:
        The number of layers with new statistics; 0 means "not applicable": no layer keeps running statistics, as with
        group norm, and ``batches`` was not read.

    Raises:
        ValueError: when there is no batch; statistics stay as they were, as after any error.
    """
    layers = list(_layers(network).values())
    if not layers:
        return 0
    before = [_buffers(layer) for layer in layers]
    momenta = [layer.momentum for layer in layers]
    # just before the layer runs: a frozen encoder puts itself into evaluation mode when it is called
    hooks = [layer.register_forward_pre_hook(_see_batch) for layer in layers]
    try:
        count = _collect(network, layers, images_of(batches, key))
    except BaseException:
        for layer, old in zip(layers, before, strict=True):
            _restore(layer, old)
        raise
    finally:
        for layer, hook, momentum in zip(layers, hooks, momenta, strict=True):
            hook.remove()
            layer.momentum = momentum
    used = 0
    for layer, old in zip(layers, before, strict=True):
        if int(_buffers(layer)["num_batches_tracked"]):
            used += 1
        else:
            _restore(layer, old)
    enough = "" if count >= _ENOUGH_BATCHES else f"; {_ENOUGH_BATCHES} at least make them steady"
    _logger.info(f"Batch norm statistics of {used} layers were collected from {count} batches{enough}.")
    return used


def encoder_statistics(network: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return a copy of the running mean and variance (C,) of each batch norm of the encoder, none of the rest.

    Args:
        network: an ``Encoder``, or has one as ``encoder``.

    Returns:
        By the name of the layer in the encoder; empty when none keeps running statistics.

    Raises:
        ValueError: when there is no encoder.
    """
    encoder = network if isinstance(network, Encoder) else getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{type(network).__name__} has no `encoder` whose statistics could be compared.")
    found = {name: _buffers(layer) for name, layer in _layers(encoder).items()}
    return {name: (b["running_mean"].double().cpu(), b["running_var"].double().cpu()) for name, b in found.items()}


def bn_distance(first: Statistics, second: Statistics, squared: bool = True) -> BNDistance | None:
    r"""Return :math:`\sum_l \|\mu_l - \mu'_l\|_2^2 + \|\sigma^2_l - \sigma'^2_l\|_2^2` and its shares.

    Args:
        first: see :func:`encoder_statistics`.
        second: of the same network at another time.
        squared: the paper's; ``False`` sums norms that are not squared, as the study's code does. Per channel, a layer
            of C channels counts divided by C, or by the root of C.

    Returns:
        ``None`` means "not applicable": no layer keeps running statistics.

    Raises:
        ValueError: when the layers or their widths differ.
    """
    shapes = [{name: mean.shape for name, (mean, _) in one.items()} for one in (first, second)]
    if shapes[0] != shapes[1]:
        differing = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))[0][0]
        raise ValueError(
            f"Statistics can only be compared between equal encoders, but layer `{differing}` is not in both alike."
        )
    if not first:
        return None
    power = 2 if squared else 1
    layers, per_channel = {}, {}
    for name in first:
        norms = [float((a - b).norm()) for a, b in zip(first[name], second[name], strict=True)]
        layers[name] = sum(norm**power for norm in norms)
        per_channel[name] = layers[name] / len(first[name][0]) ** (power / 2)
    return BNDistance(sum(layers.values()), layers, per_channel)


def _layers(network: nn.Module) -> dict[str, _BatchNorm]:
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    }


@torch.no_grad()
def _collect(network: nn.Module, layers: Iterable[_BatchNorm], images: Iterable[Tensor]) -> int:
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    count, device = 0, device_of(network)
    with evaluating(network):
        for image in images:
            network(image.to(device))
            count += 1
    if count == 0:
        raise ValueError("No batch was given to collect batch norm statistics from; give training images.")
    return count


def _see_batch(layer: nn.Module, inputs: Any) -> None:
    del inputs
    layer.train()


def _buffers(layer: _BatchNorm) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in layer.named_buffers()}


@torch.no_grad()
def _restore(layer: _BatchNorm, buffers: Mapping[str, Tensor]) -> None:
    for name, buffer in layer.named_buffers():
        buffer.copy_(buffers[name])


__all__ = ["BNDistance", "bn_distance", "encoder_statistics", "recollect_bn"]
