"""Rotation by quarter turns as a classification task: ten of a volume, four of an image.

Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020, https://arxiv.org/abs/2006.03829; in 2-D
Gidaris, Singh, Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018,
https://arxiv.org/abs/1803.07728. The numbers are those of Zhang, Gu, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_ssl.transforms.base import Params
from monai_ssl.transforms.puzzles.task import RandTask

ROTATIONS = (
    *((k, (0, 1)) for k in (0, 1, 2, 3)),
    *((k, (1, 2)) for k in (3, 2, 1)),
    *((k, (0, 2)) for k in (3, 2, 1)),
)
"""Quarter turns and the plane of two spatial axes for each label; an image in 2-D has the first four."""

INVERSES = (0, 3, 2, 1, 6, 5, 4, 9, 8, 7)
"""The label that undoes each label."""


def num_rotations(spatial_dims: int) -> int:
    """Return how many labels there are: 4 in 2-D, 10 in 3-D."""
    return {2: 4, 3: 10}[spatial_dims]


def valid_rotations(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the labels that keep a spatial ``shape`` (D,): all for a cube, half turns where its sides differ."""
    return tuple(
        label
        for label, (k, (a, b)) in enumerate(ROTATIONS[: num_rotations(len(shape))])
        if k % 2 == 0 or shape[a] == shape[b]
    )


def rotate(x: Tensor, labels: Tensor) -> Tensor:
    """Rotate each image of ``x`` (B, C, *spatial) by its label (B,), exactly: values move, none is computed."""
    labels = labels.cpu()
    out = torch.empty_like(x)
    for label in labels.unique().tolist():
        k, plane = ROTATIONS[label]
        chosen = (labels == label).nonzero().flatten().to(x.device)
        out[chosen] = x[chosen].rot90(k, [axis + 2 for axis in plane])
    return out


def rotate_back(x: Tensor, labels: Tensor) -> Tensor:
    """Undo :func:`rotate`."""
    return rotate(x, torch.tensor(INVERSES)[labels.cpu()])


class RandRotationTaskd(RandTask):
    """Rotate a view by one of ten rotations (four in 2-D) and ask by which.

    Args:
        key: the view (C, *spatial); it is replaced by the rotated one.
        labels: which to draw from, uniformly; ``None`` takes all that keep the shape of the view: ten for a cube, six
            (0, 1, 2, 3, 5, 8) when the first two sides are equal, four (0, 2, 5, 8) when all differ.
        name: key of the answer.
        params_key: where to put what was drawn: ``label``.

    Returns:
        The sample with ``key`` rotated and the answer.

    Raises:
        ValueError: when a label is unknown or would change the shape of the view.

    >>> x = torch.rand(3, 1, 8, 8, 8)
    >>> out = RandRotationTaskd("view").batch({"view": x})
    >>> torch.equal(rotate_back(out["view"], out["label"]), x)
    True
    """

    def __init__(
        self, key: str, labels: Sequence[int] | None = None, *, name: str = "label", params_key: str | None = None
    ) -> None:
        super().__init__(key, params_key)
        if labels is not None and (not labels or not set(labels) <= set(range(len(ROTATIONS)))):
            raise ValueError(f"`labels` of rotations must be some of 0 to {len(ROTATIONS) - 1}, got {list(labels)}.")
        self.labels = None if labels is None else tuple(labels)
        self.name = name

    def draw(self, shape: tuple[int, ...]) -> Params:
        valid = valid_rotations(shape[1:])
        labels = valid if self.labels is None else self.labels
        if not set(labels) <= set(valid):
            raise ValueError(
                f"A view of {' x '.join(map(str, shape[1:]))} keeps its shape under the rotations {list(valid)} only, "
                f"but `labels` has {list(labels)}: make `roi_size` a cube, or leave the others out."
            )
        return {"label": labels[self.R.randint(len(labels))]}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        return {self.key: rotate(x, params["label"]), self.name: params["label"].to(x.device, non_blocking=True)}


__all__ = ["RandRotationTaskd", "num_rotations", "rotate", "rotate_back", "valid_rotations"]
