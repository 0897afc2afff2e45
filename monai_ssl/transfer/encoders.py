"""Build the encoder that given weights belong to, from their model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from monai_ssl.networks import Encoder, build
from monai_ssl.transfer.card import ModelCard, read_card
from monai_ssl.transfer.published import published_recipe
from monai_ssl.transfer.weights_file import read_part

_PAPER_WIDTH = 64


def paper_encoder(spatial_dims: int, in_channels: int, width: int = _PAPER_WIDTH, depth: int = 4) -> Encoder:
    """Return the encoder of PCRL and its successors: convolutional in 3-D, ResNet-18 in 2-D.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        width: channels at the finest level; 64 in the papers.
        depth: levels of the 3-D encoder; 4 in the papers. A ResNet-18 always has five.
    """
    recipe: dict[str, Any] = {"spatial_dims": spatial_dims, "in_channels": in_channels}
    if spatial_dims == 2:
        recipe |= {"_target_": "monai_ssl.networks.ResNetEncoder", "width": width}
    else:
        recipe |= {"_target_": "monai_ssl.networks.ConvEncoder", "widths": [width * 2**level for level in range(depth)]}
    # with a recipe, so that what is trained on it can be described
    return cast(Encoder, build(recipe))


def matching_encoder(weights: str | None, spatial_dims: int, in_channels: int, width: int | None = None) -> Encoder:
    """Return the encoder that ``weights`` were made with, so that a task need not know the method they come from.

    Args:
        weights: file whose model card says how its encoder is built, or whose layout is known, see
            :func:`monai_ssl.transfer.published.published_recipe`; nothing, or another file, means
            :func:`paper_encoder`.
        spatial_dims: 2 or 3.
        in_channels: of this task's images.
        width: of :func:`paper_encoder`, whatever the card says; ``None`` leaves it to the card, else 64.

    Raises:
        ValueError: when the encoder of ``weights`` is for other dimensions or of a kind that is not known here.

    >>> matching_encoder(None, spatial_dims=3, in_channels=1, width=8).channels  # that of the papers
    (8, 16, 32, 64)
    """
    recipe = _recipe_of(Path(weights)) if weights and width is None else None
    if recipe is None:
        return paper_encoder(spatial_dims, in_channels, _PAPER_WIDTH if width is None else width)
    return _built(recipe, spatial_dims, in_channels)


def _recipe_of(weights: Path) -> Mapping[str, Any] | None:
    # a file that is missing or broken is named with a remedy when it is loaded
    if not weights.is_file():
        return None
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is not None and "_target_" in card.encoder:
        return card.encoder
    try:
        return published_recipe(read_part(weights, "encoder")[0])
    except ValueError:
        return None


def encoder_of(card: ModelCard, spatial_dims: int, in_channels: int) -> Encoder:
    """Build the encoder that a model card describes, for ``in_channels``.

    Raises:
        ValueError: when it is for other dimensions, no encoder, or not among the classes that a card may name, see
            :func:`monai_ssl.networks.build`.
    """
    return _built(card.encoder, spatial_dims, in_channels)


def _built(recipe: Mapping[str, Any], spatial_dims: int, in_channels: int) -> Encoder:
    encoder = build(recipe, in_channels=in_channels)
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"The model card names {recipe['_target_']!r}, which is no encoder; known are the encoders of "
            "`monai_ssl.networks`. Set `encoder` in the configuration to build it."
        )
    if encoder.spatial_dims != spatial_dims:
        raise ValueError(f"The weights are of a {encoder.spatial_dims}-D encoder, but this task is {spatial_dims}-D.")
    return encoder
