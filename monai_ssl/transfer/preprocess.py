"""Preprocessing of downstream images as in pre-training: intensity preset, channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from monai_ssl.store.intensity import default_intensity, intensity_from_dict


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
