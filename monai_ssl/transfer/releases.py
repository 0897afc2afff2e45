"""What is known of the images that published weights saw: a table, from their authors' code and papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_ssl.store.intensity import CTWindow


@dataclass(frozen=True)
class Release:
    """Images of a pre-training that others did, in the words of a model card.

    Args:
        modality: ``"ct"``, ``"mr"`` or another word.
        intensity: how raw intensities became [0, 1]; empty where a whole volume was normalized instead.
        normalize: at the end: ``"zscore"``, ``"imagenet"`` or ``None``.
        spacing: in mm along (x, y, z); ``None`` when scans kept their own.
        window_size: voxels along (x, y, z).
        preset: with or without labels.
        reversed_axes: the network saw images as (z, y, x) under MONAI's names, so kernels are turned. Directions along
            an axis are not: a strided convolution has no mirror image.
        license: of the code or weights, as their authors state it; that of the images may be narrower.
    """

    modality: str
    intensity: Mapping[str, Any] = field(default_factory=dict)
    normalize: str | None = None
    spacing: tuple[float, ...] | None = None
    window_size: tuple[int, ...] = ()
    preset: str = "self-supervised"
    reversed_axes: bool = False
    license: str = "not stated"


def _ct(low: float, high: float) -> dict[str, Any]:
    return CTWindow(low, high).to_dict()


RELEASES: Mapping[str, Release] = {
    "imagenet": Release("natural images", normalize="imagenet", preset="supervised"),
    "swin-unetr-ssl": Release("ct", _ct(-1000, 1000), None, (1.5, 1.5, 2.0), (96, 96, 96), license="Apache-2.0"),
    "suprem": Release("ct", _ct(-175, 250), None, (1.5, 1.5, 1.5), (96, 96, 96), "supervised", license="MIT (code)"),
    "voco": Release("ct", _ct(-175, 250), None, (1.5, 1.5, 1.5), (96, 96, 96), license="Apache-2.0"),
    "ct-fm": Release("ct", _ct(-1024, 2048), None, (1.0, 1.0, 3.0), (128, 128, 32), reversed_axes=True, license="MIT"),
    "genesis": Release("ct", _ct(-1000, 1000), None, None, (64, 64, 32), license="MIT (code)"),
    "openmind": Release("mr", {}, "zscore", (1.0, 1.0, 1.0), (160, 160, 160), license="CC-BY-SA-4.0 (code)"),
}
"""By the name that ``adopt --release`` takes; sources are in docs/public_weights.md."""

__all__ = ["RELEASES", "Release"]
