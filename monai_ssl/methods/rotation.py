"""Rotation prediction: classify by which of ten rotations a volume was turned.

Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020, https://arxiv.org/abs/2006.03829; head and
schedule of Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks",
Knowledge-Based Systems 2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, projector
from monai_ssl.transforms import num_rotations, rotate_back, valid_rotations


class Rotation(Method):
    r"""Name the rotation of a view, which takes knowing what an upright patient looks like.

    :math:`L = \mathrm{CE}(g(f(\mathrm{rot}_k(x))), k)` with encoder and global average :math:`f` and two linear layers
    :math:`g`.

    Args:
        encoder: to pre-train; its ``spatial_dims`` decide between ten labels in 3-D and four in 2-D.
        hidden: width of the classifier.

    Batch:

    ========= ================== ==================================================
    key       shape              content
    ========= ================== ==================================================
    ``view``  (B, C, \*spatial)  a rotated crop, best a cube of isotropic voxels
    ``label`` (B,)               its rotation, see ``transforms/rotation.py``
    ========= ================== ==================================================

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = Rotation(ConvEncoder(3, widths=(4, 8)), hidden=16)
    >>> method.logits(torch.rand(2, 1, 8, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, encoder: Encoder, *, hidden: int = 1024) -> None:
        super().__init__()
        self.network = encoder
        self.num_labels = num_rotations(encoder.spatial_dims)
        self.classifier = projector([encoder.channels[-1], hidden, self.num_labels])

    @property
    def encoder(self) -> Encoder:
        return self.network

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"rotation": F.cross_entropy(self.logits(batch["view"]).float(), batch["label"])}

    def logits(self, view: Tensor) -> Tensor:
        """Return the logits (B, labels) of the rotations of views (B, C, *spatial)."""
        logits: Tensor = self.classifier(self.encoder.pooled(view))
        return logits

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"accuracy": (self.logits(batch["view"]).argmax(1) == batch["label"]).float().mean()}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        view = batch["view"]
        possible = torch.tensor(valid_rotations(view.shape[2:]), device=view.device)
        found = possible[self.logits(view)[:, possible].argmax(1)]
        return {"input": view, "turned back": rotate_back(view, found), "target": rotate_back(view, batch["label"])}


__all__ = ["Rotation"]
