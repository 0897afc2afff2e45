"""What the networks of all tasks share: checked sizes, group norm, images normalized as in pre-training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from torch import nn

from monai_ssl.arguments import check_choice
from monai_ssl.networks import Encoder, batch_to_group_norm
from monai_ssl.transfer import read_card
from monai_ssl.transforms.intensity.normalize import NORMALIZATIONS

Normalize = Literal["zscore", "imagenet"]
_CHOICES = ("card", *NORMALIZATIONS, "none")
_logger = logging.getLogger(__name__)


def check_sizes(name: str, sizes: Sequence[int], encoder: Encoder) -> None:
    """Refuse an image size that the encoder cannot halve often enough, before any image is read.

    Raises:
        ValueError: naming ``name`` and sizes that fit.
    """
    nearest = encoder.nearest_size(sizes) if sizes else ()
    if tuple(sizes) != nearest:
        stride, network = encoder.strides[-1], type(encoder).__name__
        if all(size % stride == 0 for size in sizes):
            # some take one size only, and instance norm needs more than one voxel in the coarsest map
            raise ValueError(f"{network} cannot take a `{name}` of {list(sizes)}; try {list(nearest)}.")
        raise ValueError(
            f"Each side of `{name}` must be divisible by {stride}, since {network} halves images until 1/{stride}, but "
            f"got {list(sizes)}; try {list(nearest)}."
        )


def normalization(asked: Literal["card", "none"] | Normalize | None, weights: str | Path = "") -> Normalize | None:
    """Return what is done to each image in [0, 1] before the encoder, and say in the log who decided that.

    Args:
        asked: ``"card"``: as the model card of ``weights`` says, nothing where there is none; ``"zscore"``,
            ``"imagenet"``; ``"none"`` or ``None`` for nothing.
        weights: that the training starts from, or whose network is built anew.

    Raises:
        ValueError: for another ``asked``, or a card that names another normalization.

    >>> normalization("card"), normalization("none"), normalization("zscore", "weights.safetensors")
    (None, None, 'zscore')
    """
    if asked != "card":
        if asked is not None:
            check_choice(_CHOICES, normalize=asked)
        return None if asked is None or asked == "none" else asked
    # a file that is missing is named with a remedy when it is loaded
    known = Path(weights).suffix == ".safetensors" and Path(weights).is_file()
    card = read_card(weights) if known else None
    found = None if card is None else card.normalize
    if found is not None and found not in NORMALIZATIONS:
        raise ValueError(
            f"The model card of {weights} names the normalization {found!r}, which this version does not know; set "
            f"`normalize` to one of {_CHOICES[1:]}."
        )
    why = f"as the model card of {weights} says" if card else "since there are no pre-trained weights with a model card"
    _logger.info("Images are normalized before the encoder: %s, %s.", found or "not at all", why)
    return cast(Normalize | None, found)


def normalize_inputs(encoder: nn.Module, normalize: Normalize | None) -> None:
    """Let an encoder normalize each image in [0, 1] by itself, where pre-training did so in its views.

    Args:
        encoder: gets a hook; no name of a weight changes.
        normalize: ``"zscore"`` (PCRLv2 in 3-D), ``"imagenet"`` (in 2-D) or ``None``.

    Raises:
        ValueError: for another ``normalize``, or statistics of ImageNet for an encoder of other than three channels.
    """
    if normalize is None:
        return
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"`normalize` must be null or one of {tuple(NORMALIZATIONS)}, got {normalize!r}.")
    if normalize == "imagenet" and getattr(encoder, "in_channels", 3) != 3:
        raise ValueError(
            f"`normalize` 'imagenet' is of 3 channels, and `in_channels` is {encoder.in_channels}: set it to 3, or "
            "`normalize` to 'none'."
        )
    kernel = NORMALIZATIONS[normalize]
    # a hook, so that sliding windows are treated like training patches and no name of a weight changes
    encoder.register_forward_pre_hook(lambda _, inputs: (kernel(inputs[0]),))


def with_norm(network: nn.Module, norm: Literal["batch", "group"]) -> nn.Module:
    """Return the network with its batch norms, or with group norms (8 groups) in their place.

    Raises:
        ValueError: for another ``norm``.
    """
    if norm not in ("batch", "group"):
        raise ValueError(f"`norm` must be 'batch' or 'group', got {norm!r}.")
    return batch_to_group_norm(network) if norm == "group" else network
