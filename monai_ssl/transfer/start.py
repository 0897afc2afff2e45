"""Start a downstream network from pre-trained weights: the encoder, the decoder, or both."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from monai_ssl.store.intensity import default_intensity
from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.weights_file import Weights

_logger = logging.getLogger(__name__)

Part = Literal["encoder", "decoder", "both", "none"]
PARTS: Mapping[str, tuple[str, ...]] = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "both": ("encoder", "decoder"),
    "none": (),
}
"""What of a pre-trained network is taken over, by name of the choice."""


def start_from(
    network: nn.Module,
    weights: Weights | None,
    channels: Literal["refuse", "inflate"] = "refuse",
    *,
    modality: str,
    intensity: Mapping[str, Any] | None = None,
    spacing: Sequence[float] | None = None,
    part: Part = "encoder",
    decoder_weights: Weights | None = None,
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
        decoder_weights: file for the decoder, where it is not ``weights``.

    Returns:
        The account of the tensors of each part, also logged; none from scratch.

    Raises:
        ValueError: for another ``part``, one that the network does not have, or one that cannot be loaded as a whole.

    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder, EncoderClassifier
    >>> pretrained, network = (EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2) for _ in range(2))
    >>> with TemporaryDirectory() as folder:
    ...     torch.save(pretrained.state_dict(), f"{folder}/model.pt")
    ...     (account,) = start_from(network, f"{folder}/model.pt", modality="xray")
    >>> pairs = zip(network.encoder.parameters(), pretrained.encoder.parameters())
    >>> all(torch.equal(own, other) for own, other in pairs)
    True
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
    if decoder_weights and "decoder" not in PARTS[part]:
        raise ValueError(f"`decoder_weights` are given, and `part` is {part!r}: set it to 'both', or leave them out.")
    sources = {"encoder": weights, "decoder": decoder_weights or weights}
    accounts = tuple(_load(network, sources[name], name, channels, expected) for name in PARTS[part])
    for account in accounts:
        _logger.info(account.table())
    return accounts


def _load(
    network: nn.Module, weights: Weights, part: str, channels: Literal["refuse", "inflate"], expected: Mapping[str, Any]
) -> LoadAccount:
    if not isinstance(getattr(network, part, None), nn.Module):
        raise ValueError(f"{type(network).__name__} has no `{part}` to load into; set `part` to 'encoder'.")
    if part == "encoder":
        return load_weights(network, weights, part, channels=channels, expected=expected)
    # images enter the encoder only: nothing of them to compare or inflate here
    return load_weights(network, weights, part)
