"""Augmentation levels S1 to S6 for fine-tuning, and augmented copies of images, as in "Dive into SSL".

Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis", 2022, https://arxiv.org/abs/2209.12157,
table 1 of the appendix. Angles are in degrees and turn about the long axis of the body; the authors' code passes
degrees to a transform that takes radians, and its only flip is a half turn.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import (
    Compose,
    MapTransform,
    RandAffined,
    RandFlipd,
    RandRotate90d,
    RandRotated,
    RandZoomd,
    Transform,
)


@dataclass(frozen=True)
class AugmentationLevel:
    """What one level does, each with its own probability.

    Args:
        flip: along each axis independently.
        quarter_turn: by 90, 180 or 270 degrees.
        turn: by an angle up to ``degrees``.
        degrees: largest angle to either side.
        scale: by a factor between 0.8 and 1.2.
    """

    flip: float = 0.0
    quarter_turn: float = 0.0
    turn: float = 0.0
    degrees: float = 0.0
    scale: float = 0.0


AUGMENTATION_LEVELS: Mapping[str, AugmentationLevel] = {
    "S1": AugmentationLevel(flip=0.5),
    "S2": AugmentationLevel(quarter_turn=0.5),
    "S3": AugmentationLevel(flip=0.5, turn=0.3, degrees=10),
    "S4": AugmentationLevel(quarter_turn=0.5, turn=0.3, degrees=20),
    "S5": AugmentationLevel(flip=0.5, quarter_turn=0.5, turn=0.6, degrees=30),
    "S6": AugmentationLevel(flip=0.5, quarter_turn=0.5, turn=0.6, degrees=30, scale=0.4),
}


def augmentations(level: str | None, roi_size: Sequence[int], label_key: str | None = "label") -> list[Transform]:
    """Return the random transforms of a level for ``image`` and its mask; none for no level.

    Args:
        level: ``"S1"`` to ``"S6"``, or ``None``.
        roi_size: of the patches; quarter turns need the first two sides to be equal.
        label_key: of the mask, which stays binary; ``None`` without.

    Raises:
        ValueError: for another level, or patches that a quarter turn would give another shape.

    >>> [type(transform).__name__ for transform in augmentations("S4", (64, 64, 32))]
    ['RandRotate90d', 'RandRotated']
    """
    if level is None:
        return []
    if level not in AUGMENTATION_LEVELS:
        raise ValueError(f"`augmentation` must be null or one of {tuple(AUGMENTATION_LEVELS)}, got {level!r}.")
    chosen, dims = AUGMENTATION_LEVELS[level], len(roi_size)
    keys = ["image"] if label_key is None else ["image", label_key]
    steps: list[Transform] = []
    if chosen.flip:
        # MONAI flips all axes of one transform together: two of them are a half turn, not a mirror
        steps += [RandFlipd(keys, chosen.flip, axis) for axis in range(dims)]
    if chosen.quarter_turn:
        if roi_size[0] != roi_size[1]:
            raise ValueError(
                f"Level {level} turns patches by 90 degrees, so the first two sides of `roi_size` must be equal, got "
                f"{list(roi_size)}; try {[roi_size[0], roi_size[0], *roi_size[2:]]} or the levels S1 and S3."
            )
        steps.append(RandRotate90d(keys, chosen.quarter_turn, max_k=3, spatial_axes=(0, 1)))
    if chosen.turn:
        steps.append(_rotation(keys, chosen, dims))
    if chosen.scale:
        linear = "trilinear" if dims == 3 else "bilinear"
        modes = [linear, "nearest-exact"][: len(keys)]
        steps.append(RandZoomd(keys, chosen.scale, min_zoom=0.8, max_zoom=1.2, mode=modes, padding_mode="edge"))
    return steps


class AugmentedCopyd(MapTransform):
    """Make of a sample that is an augmented copy an image of its own, the same one each time; others stay as they are.

    A copy is shifted by up to a voxel along each axis, and then mirrored and turned as on level S5, or S3 where
    the first two sides differ.

    Args:
        keys: of images (C, *spatial), each with the name of its file.
        image_size: of the images.

    >>> import torch
    >>> from monai.data import MetaTensor
    >>> sample = {"image": MetaTensor(torch.rand(1, 8, 8), meta={"filename_or_obj": "a.png"})}
    >>> copied = AugmentedCopyd("image", (8, 8))
    >>> torch.equal(copied(sample)["image"], sample["image"])
    True
    >>> first, again, other = (copied({**sample, "copy": number})["image"] for number in (1, 1, 2))
    >>> torch.equal(first, again), torch.equal(first, other)
    (True, False)
    """

    def __init__(self, keys: KeysCollection, image_size: Sequence[int]) -> None:
        super().__init__(keys)
        self.image_size = tuple(image_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        if not out.get("copy"):
            return out
        for key in self.key_iterator(out):
            name = Path(str(out[key].meta["filename_or_obj"])).name
            seed = int.from_bytes(hashlib.sha256(f"{name}:{out['copy']}".encode()).digest()[:4], "big")
            # anew each time: several threads fill a cache
            steps = Compose(self._steps(key)).set_random_state(seed)
            out[key] = steps({key: out[key]})[key]
        return out

    def _steps(self, key: Hashable) -> list[Transform]:
        shift = RandAffined(key, prob=1.0, translate_range=(1.0,) * len(self.image_size), padding_mode="border")
        level = "S5" if self.image_size[0] == self.image_size[1] else "S3"
        return [shift, *augmentations(level, self.image_size, None)]


def _rotation(keys: Sequence[str], level: AugmentationLevel, dims: int) -> Transform:
    angle = math.radians(level.degrees)
    # of a plane there is one angle, MONAI's first; of a volume the third turns the first two axes
    first, third = (angle, 0.0) if dims == 2 else (0.0, angle)
    return RandRotated(
        keys,
        range_x=first,
        range_z=third,
        prob=level.turn,
        keep_size=True,
        mode=["bilinear", "nearest"][: len(keys)],
        padding_mode="border",
    )


__all__ = ["AUGMENTATION_LEVELS", "AugmentationLevel", "AugmentedCopyd", "augmentations"]
