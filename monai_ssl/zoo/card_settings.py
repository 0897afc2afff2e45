"""Settings of a downstream bundle from a model card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_ssl.networks import network_class
from monai_ssl.transfer import ModelCard

_EVALUATED = ("$", "@", "%")


def card_settings(card: ModelCard, modality: str | None) -> dict[str, Any]:
    """Return the keys of ``bundles/segmentation`` that the card answers, the encoder spelled out.

    Args:
        card: of weights whose encoder is one of this package.
        modality: of the images of the task; ``None`` where pre-training saw only one.

    Raises:
        ValueError: when the card does not answer for that modality, or holds what MONAI would execute.
    """
    encoder = plain_recipe(card.encoder)
    modality, intensity = _of_modality(card, modality)
    # an encoder around a network has the dimensions of that
    dims = {} if "network" in encoder else {"spatial_dims": "@spatial_dims"}
    return {
        "modality": plain(modality, "modality"),
        "intensity": plain(intensity, "intensity") or None,
        "spacing": None if card.spacing is None else list(card.spacing),
        "in_channels": card.channels,
        "normalization": plain(card.normalize, "normalization"),
        "encoder": {**encoder, **dims, "in_channels": "@in_channels"},
    }


def _of_modality(card: ModelCard, modality: str | None) -> tuple[str, Mapping[str, Any]]:
    # pre-training on several modalities records one preset for each
    several = bool(card.intensity) and "kind" not in card.intensity
    seen = sorted(card.intensity) if several else [card.modality]
    if modality is None and several:
        raise ValueError(f"The weights saw {' and '.join(seen)}: give the `modality` of the images to annotate.")
    chosen = seen[0] if modality is None else modality
    if chosen.lower() not in [word.lower() for word in seen]:
        raise ValueError(f"The weights saw {' and '.join(seen)}, not {chosen!r}; take weights of that modality.")
    return chosen, card.intensity[chosen.lower()] if several else card.intensity


def plain_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe of a network, made sure that MONAI will build known classes and evaluate nothing.

    Raises:
        ValueError: see :func:`plain` and :func:`monai_ssl.networks.network_class`.
    """
    network_class(recipe.get("_target_"))
    arguments = {key: value for key, value in recipe.items() if key != "_target_"}
    inside = {key: plain_recipe(value) for key, value in arguments.items() if _is_recipe(value)}
    rest = {key: plain(value, f"encoder {key}") for key, value in arguments.items() if key not in inside}
    return {"_target_": recipe["_target_"], **rest, **inside}


def _is_recipe(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def plain(value: Any, what: str) -> Any:
    """Return a value that came with weights, made sure that MONAI will take it as data and evaluate nothing.

    Raises:
        ValueError: when it holds anything but numbers, words, lists and dictionaries of them, or a word that MONAI
            evaluates (``$``), follows (``@``, ``%``) or instantiates (``_target_``).
    """
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith(("_", *_EVALUATED)) for key in value):
            return {key: plain(entry, what) for key, entry in value.items()}
    elif isinstance(value, (list, tuple)):
        return [plain(entry, what) for entry in value]
    elif not any(mark in value for mark in _EVALUATED) if isinstance(value, str) else _is_number(value):
        return value
    raise ValueError(
        f"The model card's {what} holds {value!r}, which would be executed as part of a configuration; get the weights "
        "from somebody you trust."
    )


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float))
