"""Normalization of a task's images: as in the pre-training of its weights, unless the user says otherwise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, cast

from monai_ssl.arguments import check_choice
from monai_ssl.tasks.networks import Normalize
from monai_ssl.transfer import read_card
from monai_ssl.transforms.intensity.normalize import NORMALIZATIONS

_logger = logging.getLogger(__name__)
_CHOICES = ("card", *NORMALIZATIONS, "none")


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


__all__ = ["normalization"]
