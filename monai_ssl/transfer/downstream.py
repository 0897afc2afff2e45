"""Downstream networks: segmentation U-Net and classifier on a pre-trained encoder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from torch import nn

from monai_ssl.arguments import nearest_multiples
from monai_ssl.networks import Encoder, EncoderClassifier, SkipUNet, batch_to_group_norm
from monai_ssl.store.intensity import default_intensity
from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.source import Source
from monai_ssl.transforms import ImageNetNormalized, ZScored

_logger = logging.getLogger(__name__)

Part = Literal["encoder", "decoder", "both", "none"]
PARTS: Mapping[str, tuple[str, ...]] = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "both": ("encoder", "decoder"),
    "none": (),
}
"""What of a pre-trained network is taken over, by name of the choice."""

_NORMALIZATIONS = {"zscore": ZScored("image").normalize, "imagenet": ImageNetNormalized("image").normalize}


def segmenter(
    encoder: Encoder,
    num_labels: int,
    norm: Literal["batch", "group"] = "batch",
    roi_size: Sequence[int] = (),
    normalize: Literal["zscore", "imagenet"] | None = None,
    *,
    skips: bool = True,
) -> nn.Module:
    """Return a U-Net on ``encoder``.

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        num_labels: without background; the output are logits of ``num_labels + 1`` classes.
        norm: ``"group"`` (8 groups) for batches of 4 and fewer, as in PCRL.
        roi_size: what the network will be trained on; checked here, before any scan is read.
        normalize: what is done to each window in [0, 1] before the encoder, where pre-training did so: ``"zscore"``
            (PCRLv2 in 3-D) or ``"imagenet"`` (in 2-D). The authors fine-tune without it.
        skips: skip connections; a decoder that was pre-trained without them fits only a network without.

    Raises:
        ValueError: for another ``norm`` or ``normalize``, or a ``roi_size`` that cannot be halved often enough.
    """
    _check_sizes("roi_size", roi_size, encoder)
    _normalize_inputs(encoder, normalize)
    return _normalized(SkipUNet(encoder, num_labels + 1, skips=skips), norm)


def classifier(
    encoder: Encoder,
    num_classes: int,
    norm: Literal["batch", "group"] = "batch",
    dropout: float = 0.2,
    image_size: Sequence[int] = (),
    normalize: Literal["zscore", "imagenet"] | None = None,
) -> nn.Module:
    """Return a linear classifier on the average of the coarsest map of ``encoder``.

    Args:
        encoder: with ``channels``, ``strides`` and ``spatial_dims``.
        num_classes: the output are logits (B, num_classes).
        norm: see :func:`segmenter`.
        dropout: probability before the linear layer.
        image_size: what the network will be trained on; checked here, before any image is read.
        normalize: see :func:`segmenter`.

    Raises:
        ValueError: for another ``norm`` or ``normalize``, or an ``image_size`` that cannot be halved often enough.
    """
    _check_sizes("image_size", image_size, encoder)
    _normalize_inputs(encoder, normalize)
    return _normalized(EncoderClassifier(encoder, num_classes, dropout), norm)


def start_from(
    network: nn.Module,
    weights: Source | None,
    channels: Literal["refuse", "inflate"] = "refuse",
    *,
    modality: str,
    intensity: Mapping[str, Any] | None = None,
    spacing: Sequence[float] | None = None,
    part: Part = "encoder",
) -> tuple[LoadAccount, ...]:
    """Fill ``part`` of ``network`` with pre-trained weights; without any, training starts from scratch.

    What is not loaded, the last layer always, stays as it was initialized.

    Args:
        network: has an ``encoder`` and, for ``"decoder"`` and ``"both"``, a ``decoder``.
        weights: file to load, or nothing.
        channels: ``"inflate"`` fits the first convolution to other image channels.
        modality: of the images of this task; it and the next two are compared with the card of the weights.
        intensity: preset as a dictionary; ``None`` for the default of the modality.
        spacing: in mm; ``None`` for that of the scans.
        part: ``"encoder"``, ``"decoder"``, ``"both"``, or ``"none"``: the network is built like that of ``weights``
            and starts from scratch, as a fair baseline does.

    Returns:
        The account of the tensors of each part, also logged; none from scratch.

    Raises:
        ValueError: for another ``part``, one that the network does not have, or one that cannot be loaded as a whole.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be one of {tuple(PARTS)}, got {part!r}.")
    if not weights or not PARTS[part]:
        reason = "No pre-trained weights given" if not weights else "No part of the pre-trained weights asked for"
        _logger.info("%s: the network starts from scratch.", reason)
        return ()
    expected = {
        "modality": modality,
        "intensity": intensity or default_intensity(modality).to_dict(),
        "spacing": spacing,
    }
    accounts = tuple(_load(network, weights, name, channels, expected) for name in PARTS[part])
    for account in accounts:
        _logger.info(account.table())
    return accounts


def _load(
    network: nn.Module, weights: Source, part: str, channels: Literal["refuse", "inflate"], expected: Mapping[str, Any]
) -> LoadAccount:
    if not isinstance(getattr(network, part, None), nn.Module):
        raise ValueError(f"{type(network).__name__} has no `{part}` to load into; set `part` to 'encoder'.")
    if part == "encoder":
        return load_weights(network, weights, part, channels=channels, expected=expected)
    # images enter the encoder only: nothing of them to compare or inflate here
    return load_weights(network, weights, part)


def _normalize_inputs(encoder: nn.Module, normalize: str | None) -> None:
    if normalize is None:
        return
    if normalize not in _NORMALIZATIONS:
        raise ValueError(f"`normalize` must be null or one of {tuple(_NORMALIZATIONS)}, got {normalize!r}.")
    kernel = _NORMALIZATIONS[normalize]
    # a hook, so that sliding windows are treated like training patches and no name of a weight changes
    encoder.register_forward_pre_hook(lambda _, inputs: (kernel(inputs[0]),))


def _normalized(network: nn.Module, norm: str) -> nn.Module:
    if norm not in ("batch", "group"):
        raise ValueError(f"`norm` must be 'batch' or 'group', got {norm!r}.")
    return batch_to_group_norm(network) if norm == "group" else network


def _check_sizes(name: str, sizes: Sequence[int], encoder: nn.Module) -> None:
    stride = cast(Sequence[int], encoder.strides)[-1]
    if any(size % stride or size < stride for size in sizes):
        raise ValueError(
            f"Each side of `{name}` must be divisible by {stride}, since {type(encoder).__name__} halves images until "
            f"1/{stride}, but got {list(sizes)}; try {list(nearest_multiples(sizes, stride))}."
        )
