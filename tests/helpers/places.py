"""A scan that knows where it is read: its voxels are their own coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np


class Places:
    """A scan whose channels are the coordinates of each voxel; ``read`` holds (start, stop) by axis of each reading."""

    def __init__(self, *shape: int, key: str = "patient-07", body_box: Any = None) -> None:
        self.shape = (len(shape), *shape)
        self.key = key
        self.body_box = body_box
        self.read: list[tuple[tuple[int, int], ...]] = []

    def __getitem__(self, where: Any) -> np.ndarray:
        self.read.append(tuple((s.start, s.stop) for s in where[1:]))
        axes = [np.arange(s.start, s.stop, dtype=np.float32) for s in where[1:]]
        return np.stack(np.meshgrid(*axes, indexing="ij"))
