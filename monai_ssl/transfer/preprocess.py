"""Preprocessing of downstream images as in pre-training: intensity preset, channels."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from monai_ssl.store.conform import decide_modality
from monai_ssl.store.intensity import default_intensity, intensity_from_dict, scaled_otherwise

_logger = logging.getLogger(__name__)


class ScaleIntensityByPresetd(MapTransform):
    """Map the intensities of whole scans to [0, 1] by the preset that pre-training used.

    Args:
        keys: images (C, *spatial) as loaded, with their own intensities (HU for CT).
        modality: chooses the default preset: ``"ct"``, ``"mr"`` or another word for images.
        intensity: a preset as the model card records it, e.g.
            ``{"kind": "ct_window", "low": -1000, "high": 1000}``; ``None`` for the default.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    Raises:
        ValueError: for an unknown preset.
    """

    def __init__(
        self,
        keys: KeysCollection,
        modality: str,
        intensity: Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.preset = intensity_from_dict(intensity) if intensity else default_intensity(modality)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            image = torch.as_tensor(out[key])
            scaled = torch.from_numpy(self.preset(image.numpy(force=True))).to(image.device)
            out[key] = _like(scaled, out[key])
        return out


class ScaleIntensityAsTrainedd(MapTransform):
    """Map the intensities of whole scans to [0, 1] as in pre-training, and those of another modality by its default.

    Which of CT and MR an image is, is judged by its values; see :func:`monai_ssl.store.intensity.scaled_otherwise`.

    Args:
        keys: images (C, *spatial) as loaded, with their own intensities (HU for CT).
        modality: that the weights were trained on.
        intensity: preset of that modality; ``None`` for the default.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    >>> hu = torch.tensor([-1000.0, 40.0, 300.0]).repeat(1, 8, 8, 3)
    >>> scale = ScaleIntensityAsTrainedd("image", "mr")
    >>> scale({"image": hu})["image"].unique()  # a CT, whatever the weights saw
    tensor([0.0000, 0.5200, 0.6500])
    """

    def __init__(
        self,
        keys: KeysCollection,
        modality: str,
        intensity: Mapping[str, Any] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.modality, self.intensity = modality, intensity
        self.told = False

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            modality = decide_modality(torch.as_tensor(out[key]).numpy(force=True), "unknown", "auto")[0]
            if scaled_otherwise(modality, self.modality):
                scale = ScaleIntensityByPresetd(key, modality)
                self._tell(modality)
            else:
                scale = ScaleIntensityByPresetd(key, self.modality, self.intensity)
            out = scale(out)
        return out

    def _tell(self, modality: str) -> None:
        if not self.told:
            _logger.warning(
                "Images look like %s, but the weights were trained on %s: their intensities are scaled as pre-training "
                "does by default; `--modality %s` says that this is meant.",
                modality,
                self.modality,
                modality,
            )
        self.told = True


class SetChannelsd(MapTransform):
    """Give images the channels that the encoder expects: gray is repeated, color is averaged to gray.

    Args:
        keys: images (C, *spatial).
        channels: wanted.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    Raises:
        ValueError: when an image has neither one nor ``channels`` channels and more than one are wanted.
    """

    def __init__(self, keys: KeysCollection, channels: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self._set(out[key], str(key))
        return out

    def _set(self, image: Tensor, key: str) -> Tensor:
        have = image.shape[0]
        if have == self.channels:
            return image
        if self.channels == 1:
            # an opacity channel is no color
            colors = 3 if have == 4 else have
            return image[:colors].float().mean(0, keepdim=True)
        if have == 1:
            return image.repeat(self.channels, *(1 for _ in image.shape[1:]))
        if (have, self.channels) == (4, 3):
            return image[:3]
        raise ValueError(
            f"`{key}` has {have} channels, which cannot become {self.channels}: set `in_channels` to {have} or 1."
        )


def _like(x: Tensor, source: Any) -> Tensor:
    return (
        MetaTensor(x, meta=source.meta, applied_operations=source.applied_operations)
        if isinstance(source, MetaTensor)
        else x
    )
