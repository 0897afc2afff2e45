"""In-painting and out-painting (Models Genesis): boxes, or all but boxes, become noise.

Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. https://doi.org/10.1016/j.media.2020.101840
"""

from __future__ import annotations

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, RandBatchTransform, expand
from monai_ssl.transforms.intensity.noise import draw_seed, seeded_uniform
from monai_ssl.transforms.masks.box_mask import box_mask

MAX_BOXES = 5
CONTINUE = 0.95
"""Probability of one more box."""
MARGIN = 3
"""Voxels between a box and the border."""


class RandPaintingd(RandBatchTransform):
    """Replace by uniform noise either some boxes (in-painting) or all but some boxes (out-painting).

    A side of a box is drawn for each axis of n voxels: from {n/6, ..., n/3} for in-painting, from {n - 4n/7, ...,
    n - 3n/7} for out-painting. Up to five boxes, each after the other with probability 0.95; out-painting keeps at
    least one. Boxes stay three voxels away from the border and may overlap. The noise is U(0, 1), voxel by voxel, the
    same in all channels.

    Parameters drawn: ``start`` and ``size`` of the boxes (B, ``max_boxes``, spatial axes), with size 0 for those that
    are not there; ``inward`` (B,), true for in-painting; ``seed`` (B,) of the noise.

    Two views that share the choice of in or out, but neither boxes nor noise, as in the code of PCRLv1, are painted by
    a :class:`RandOneOfd` of two :class:`Separatelyd`, one with ``in_prob`` 1 and one with 0.

    Args:
        keys: images to paint alike, with intensities in [0, 1].
        prob: probability to paint a sample at all.
        in_prob: probability that painting means in-painting.
        max_boxes: 5 in Models Genesis, 1 in TransVW.
        box_prob: probability of each box after those before it; with 1 there are always ``max_boxes``.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> x = torch.full((1, 1, 32, 32), 2.0)  # noise is in [0, 1], hence what is above 1 was kept
    >>> inward = RandPaintingd("image", prob=1.0, in_prob=1.0, box_prob=1.0).batch({"image": x})["image"]
    >>> outward = RandPaintingd("image", prob=1.0, in_prob=0.0).batch({"image": x})["image"]
    >>> (inward[..., :3, :] > 1).all(), (outward[..., :3, :] > 1).any()
    (tensor(True), tensor(False))
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.9,
        in_prob: float = 0.2,
        *,
        max_boxes: int = MAX_BOXES,
        box_prob: float = CONTINUE,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, 1]", in_prob=in_prob, box_prob=box_prob)
        check_interval("[1, inf)", max_boxes=max_boxes)
        self.in_prob, self.max_boxes, self.box_prob = in_prob, max_boxes, box_prob

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = np.asarray(shape[1:])
        inward = bool(self.R.rand() < self.in_prob)
        more = np.cumprod(self.R.rand(self.max_boxes) < self.box_prob).astype(bool)
        if inward:
            present, low, high = more, spatial // 6, spatial // 3
        else:
            present, low, high = np.append(True, more[:-1]), spatial - 4 * spatial // 7, spatial - 3 * spatial // 7
        size, start = self._boxes(spatial, low, high)
        return {"start": start, "size": size * present[:, None], "inward": inward, "seed": draw_seed(self.R)}

    def _boxes(
        self, spatial: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if (low < 1).any() or (spatial - high < 2 * MARGIN).any():
            raise ValueError(
                f"An image of {tuple(spatial.tolist())} is too small to be painted with boxes {MARGIN} voxels from its "
                "border: out-painting needs at least 14 voxels along each axis, in-painting alone (`in_prob` 1) 8."
            )
        size = self.R.randint(low, high + 1, size=(self.max_boxes, len(spatial)))
        return size, self.R.randint(MARGIN, spatial - size - MARGIN + 1)

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        boxes = box_mask(params["start"], params["size"], x.shape[2:])
        noise = seeded_uniform(x[:, :1], params["seed"])
        return torch.where(boxes == expand(params["inward"], x.ndim), noise, x)
