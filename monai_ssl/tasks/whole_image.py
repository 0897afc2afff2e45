"""What tasks about a whole image share: loading it at one size, samples stacked for metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.transforms import EnsureChannelFirstd, EnsureTyped, LoadImaged, Orientationd, Resized, Transform
from torch import Tensor

from monai_ssl.io.monai_reader import ScanReader
from monai_ssl.transfer.preprocess import ScaleIntensityByPresetd, SetChannelsd


def load_whole_image(
    modality: str,
    image_size: Sequence[int],
    in_channels: int,
    intensity: Mapping[str, Any] | None,
    keys: Sequence[str],
    label_type: torch.dtype,
) -> list[Transform]:
    """Return the transforms that make images of one size of files: RAS in 3-D, in [0, 1].

    Args:
        modality: chooses the intensity preset.
        image_size: voxels or pixels that every image is resized to.
        in_channels: that the encoder expects.
        intensity: a preset as the model card records it; ``None`` for that of the modality.
        keys: ``("image", "label")``, or ``("image",)`` for inference.
        label_type: of the label.
    """
    flat = len(image_size) == 2
    dtype = {"image": torch.float32, "label": label_type}
    return [
        LoadImaged("image", reader=ScanReader, dtype=None),
        EnsureChannelFirstd("image"),
        *([] if flat else [Orientationd("image", axcodes="RAS", labels=None)]),
        ScaleIntensityByPresetd("image", modality, intensity),
        SetChannelsd("image", in_channels),
        Resized("image", image_size, mode="bilinear" if flat else "trilinear", anti_aliasing=True),
        EnsureTyped(keys, dtype=[dtype[key] for key in keys]),
    ]


def stacked(output: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return ``pred`` and ``label`` (B, ...) of decollated samples, as Ignite's metrics want them."""
    pred, label = (torch.stack([sample[key].as_subclass(Tensor) for sample in output]) for key in ("pred", "label"))
    return pred, label
