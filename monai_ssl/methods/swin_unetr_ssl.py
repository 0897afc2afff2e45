"""Swin UNETR pre-training: inpainting, rotation and contrastive coding of two views of one window, on any encoder.

Tang et al., "Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis", CVPR 2022,
https://arxiv.org/abs/2111.14791.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_interval, check_weights
from monai_ssl.losses import nt_xent
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet, average
from monai_ssl.transforms import num_rotations, rotate_back

VIEWS = (1, 2)
TERMS = ("restoration", "rotation", "contrast")


class SwinUNETRSSL(Method):
    r"""Restore what was cut out of two views of a window, name their rotations, and tell them from other windows.

    Eq. 4: :math:`L = \lambda_1 \|\hat x - x\|_1 + \lambda_2 \mathrm{CE}(r, \hat r) + \lambda_3 L_\mathrm{NT-Xent}(v_1,
    v_2)`, with linear heads for :math:`\hat r` and :math:`v` on the average of the coarsest map.

    Args:
        network: U-Net on the encoder that is to be pre-trained; without skip connections in the paper.
        rotations: labels of the rotations that occur, see ``transforms/rotation.py``; 0 to 3 turn in the plane of the
            first two axes, the slices of a CT.
        dim: length of a vector :math:`v`.
        temperature: of the contrast, positive.
        weights: of the three terms.

    Batch:

    ======================== ================== =======================================================
    key                      shape              content
    ======================== ================== =======================================================
    ``view1``, ``view2``     (B, C, \*spatial)  one window, rotated twice, boxes of it replaced
    ``target1``, ``target2`` (B, C, \*spatial)  the same, rotated, before anything was replaced
    ``label1``, ``label2``   (B,)               their rotations, among ``rotations``
    ======================== ================== =======================================================

    Raises:
        ValueError: for rotations that do not exist, a temperature that is not positive, weights that are not three
            numbers of at least 0, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = SwinUNETRSSL(RestorationUNet(ConvEncoder(2, widths=(4, 8)), skips=False, bounded=False))
    >>> x, label = torch.rand(2, 1, 16, 16), torch.tensor([0, 3])
    >>> batch = {f"{key}{i}": value for key, value in (("view", x), ("target", x), ("label", label)) for i in (1, 2)}
    >>> sorted(method.losses(batch))
    ['contrast', 'restoration', 'rotation']
    """

    possible: Tensor

    def __init__(
        self,
        network: RestorationUNet,
        *,
        rotations: Sequence[int] = (0, 1, 2, 3),
        dim: int = 512,
        temperature: float = 0.5,
        weights: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        check_interval("(0, inf)", temperature=temperature)
        encoder = network.encoder
        count = num_rotations(encoder.spatial_dims)
        if len(set(rotations)) != len(rotations) or len(rotations) < 2 or not set(rotations) <= set(range(count)):
            raise ValueError(f"`rotations` must be two or more of the labels 0 to {count - 1}, got {list(rotations)}.")
        self.network = network
        self.rotation_head = nn.Linear(encoder.channels[-1], len(rotations))
        self.contrast_head = nn.Linear(encoder.channels[-1], dim)
        self.register_buffer("possible", torch.tensor(list(rotations)), persistent=False)
        self.temperature = temperature
        self.weights = check_weights(weights, TERMS)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), type(self).__name__)
        restoration, rotation, vectors = [], [], []
        for i in VIEWS:
            features = self.encoder(batch[f"view{i}"])
            restored, pooled = self.network.restore(features), average(features[-1])
            restoration.append(F.l1_loss(restored.float(), batch[f"target{i}"].float()))
            rotation.append(F.cross_entropy(self.rotation_head(pooled).float(), self._answers(batch[f"label{i}"])))
            vectors.append(self.contrast_head(pooled))
        contrast = nt_xent(vectors[0], vectors[1], self.temperature)
        terms = (torch.stack(restoration).mean(), torch.stack(rotation).mean(), contrast)
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _answers(self, labels: Tensor) -> Tensor:
        """Return the place (B,) of labels among the possible ones."""
        return (labels[:, None] == self.possible).int().argmax(1)

    def rotation_logits(self, view: Tensor) -> Tensor:
        """Return the logits (B, rotations) of views (B, C, *spatial)."""
        logits: Tensor = self.rotation_head(self.encoder.pooled(view))
        return logits

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the ``accuracy`` of rotations, and how much of the damage is ``undone``: 0 for the view as it is."""
        view, target = batch["view1"], batch["target1"]
        found = self.rotation_logits(view).argmax(1)
        left = F.l1_loss(self.network(view).float(), target) / F.l1_loss(view, target).clamp_min(1e-12)
        return {"accuracy": (found == self._answers(batch["label1"])).float().mean(), "undone": 1 - left}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) as it is, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        view = batch["view1"]
        restored = self.network(view).detach()
        turned = rotate_back(restored, self.possible[self.rotation_logits(view).argmax(1)])
        shown = {"input": view, "target": batch["target1"], "restored": restored, "turned back": turned}
        return {**shown, "other view": batch["view2"]}


__all__ = ["SwinUNETRSSL"]
