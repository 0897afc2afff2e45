"""What tasks about a whole image share: loading it at one size, and back again; samples stacked for metrics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import (
    EnsureChannelFirstd,
    EnsureTyped,
    MapTransform,
    Orientationd,
    Resized,
    Transform,
)
from torch import Tensor

from monai_ssl.io.monai_reader import load_files
from monai_ssl.tasks.augmentation import AugmentedCopyd
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
        load_files("image", dtype=None),
        EnsureChannelFirstd("image"),
        *([] if flat else [Orientationd("image", axcodes="RAS", labels=None)]),
        ScaleIntensityByPresetd("image", modality, intensity),
        SetChannelsd("image", in_channels),
        resize_image(image_size),
        AugmentedCopyd("image", image_size),
        EnsureTyped(keys, dtype=[dtype[key] for key in keys]),
    ]


def resize_image(image_size: Sequence[int]) -> Transform:
    """Return the transform that makes ``image`` (C, *spatial) one of ``image_size``, smoothed where it shrinks."""
    return Resized("image", image_size, mode=_linear(len(image_size)), anti_aliasing=True)


class ResizeToLabeld(MapTransform):
    """Give images and probabilities the size of the label map, so that a network is scored on the pixels of the file.

    Args:
        keys: (C, *spatial), resized linearly; those of the label's size stay as they are.
        label: key of the label map (C, *spatial).

    >>> sample = {"pred": torch.tensor([[[0.0, 1.0]]]), "label": torch.zeros(1, 1, 4)}
    >>> ResizeToLabeld("pred")(sample)["pred"]
    tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """

    def __init__(self, keys: KeysCollection, label: str = "label") -> None:
        super().__init__(keys)
        self.label = label

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        size = out[self.label].shape[1:]
        for key in self.key_iterator(out):
            if out[key].shape[1:] != size:
                plain = torch.as_tensor(out[key]).as_subclass(Tensor)
                out[key] = F.interpolate(plain[None], size, mode=_linear(len(size)), align_corners=False)[0]
        return out


def _linear(dims: int) -> str:
    return "bilinear" if dims == 2 else "trilinear"


def stacked(output: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return ``pred`` and ``label`` (B, ...) of decollated samples, as Ignite's metrics want them."""
    pred, label = (torch.stack([sample[key].as_subclass(Tensor) for sample in output]) for key in ("pred", "label"))
    return pred, label
