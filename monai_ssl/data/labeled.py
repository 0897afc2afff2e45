"""Labeled images for the kNN and linear probe of frozen features."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from monai_ssl.data.cases import is_there
from monai_ssl.io.listing import source_at
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError, Volume
from monai_ssl.store.body_box import body_box, foreground_threshold
from monai_ssl.store.intensity import default_intensity
from monai_ssl.store.statistics import intensity_statistics


class LabeledImages(Sequence[dict[str, Any]]):
    """Images with a class each: body box, [0, 1], resized to one size, kept in memory.

    Args:
        list_file: JSON file, a list of ``{"image": path, "label": number}``, with ``"group"`` where several images
            are of one patient; paths are relative to the file.
        size: voxels of every image.
        channels: of every image; one channel is repeated.
        normalize: maps a batch (1, C, *spatial) to one of the same shape, as the views of the method do at their end.

    Raises:
        ValueError: when the file is no such list or an image cannot be read.
    """

    def __init__(
        self,
        list_file: str | Path,
        size: Sequence[int],
        channels: int = 1,
        normalize: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.path = Path(list_file)
        try:
            self.items: list[dict[str, Any]] = json.loads(self.path.read_text())
            self.groups = [int(item["group"]) if "group" in item else None for item in self.items]
            self.labels = [int(item["label"]) for item in self.items]
            self.files = [self.path.parent / item["image"] for item in self.items]
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
            raise ValueError(
                f'`probe_list` {self.path} must be a JSON list of {{"image": path, "label": number}}: {e}.'
            ) from e
        self.size, self.channels, self.normalize = tuple(size), channels, normalize
        self._images: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if index not in self._images:
            self._images[index] = self._load(self.files[index])
        item = {"image": self._images[index], "label": self.labels[index]}
        group = self.groups[index]
        return item if group is None else item | {"group": group}

    def _load(self, path: Path) -> torch.Tensor:
        volume = read_listed(path, f"`probe_list` {self.path}")
        threshold = foreground_threshold(volume.array, volume.modality)
        image = default_intensity(volume.modality)(volume.array, intensity_statistics(volume.array, threshold))
        low, high = body_box(volume.array, threshold)
        inside = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
        image = image[inside]
        mode = {2: "bilinear", 3: "trilinear"}[len(self.size)]
        x = F.interpolate(
            torch.from_numpy(np.ascontiguousarray(image))[None], self.size, mode=mode, align_corners=False
        )
        x = x.expand(-1, self.channels, *self.size) if x.shape[1] == 1 else x
        return (x if self.normalize is None else self.normalize(x))[0]


def read_listed(path: Path, origin: str) -> Volume:
    """Read the one image that a list names.

    Args:
        path: a file, or the folder of a DICOM series.
        origin: what names it, for messages.

    Raises:
        ValueError: when it does not exist, is not one image, or cannot be read.
    """
    if not is_there(path):
        raise ValueError(f"{origin} names {str(path)[:200]}, which does not exist.")
    try:
        source = source_at(path)
    except ReadError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise ValueError(f"{origin} names {path}, which is not one image: {reason}") from error
    return read(source)[0]
