"""GVSL, geometric visual similarity: register the scans of two patients by their features, and restore one of them.

He et al., "Geometric Visual Similarity Learning in 3D Medical Image Self-supervised Pre-training", CVPR 2023.
https://arxiv.org/abs/2303.00874
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.losses import LocalNormalizedCrossCorrelationLoss
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval, check_weights
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet
from monai_ssl.networks.registration import AffineHead, FlowHead, affine_map, roughness, warp

TERMS = ("similarity", "smoothness", "restoration")
FLAT = 1e-3
"""Sum of squared deviations in a window below which it counts as flat, and two flat windows as alike."""


class Registered(NamedTuple):
    """What the network makes of a corrupted scan and that of another patient."""

    restored: Tensor
    warped: Tensor
    flow: Tensor


class GVSL(Method):
    r"""Warp the scan of another patient to the own one by an affine map and a flow, both read off the features.

    The bodies of patients have the same parts at nearly the same places, so features from which a network can say which
    part lies where make the scans alike: :math:`L = w_s (1 - \overline{\mathrm{cc}}(x, y \circ \varphi)) + w_g
    \overline{|\nabla u|^2} + w_r \overline{(\hat x - x)^2}`. cc is the squared local correlation of the scan x and the
    warped other scan y, u the flow in voxels. The network sees x corrupted as in Models Genesis, and restores it. The
    affine map comes from the coarsest maps of both, the flow from the finest, that of y warped by the affine map.
    Samples 1 and 2, 3 and 4, ... of a batch are each other's partners.

    Args:
        network: U-Net on the encoder that is to be pre-trained.
        window: side of the windows of the correlation, in voxels, odd.
        weights: :math:`w_s, w_g, w_r`.

    Batch:

    ========== ================= =======================================
    key        shape             content
    ========== ================= =======================================
    ``view``   (B, C, \*spatial) x, corrupted, in [0, 1]
    ``target`` (B, C, \*spatial) x, the whole region of a scan, in [0, 1]
    ========== ================= =======================================

    Raises:
        ValueError: for a window that is even, negative weights, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = GVSL(RestorationUNet(ConvEncoder(2, widths=(4, 8))))
    >>> x = torch.rand(1, 1, 16, 16).expand(2, 1, 16, 16)  # two equal scans
    >>> terms = method.losses({"view": x, "target": x})
    >>> sorted(terms), bool(terms["similarity"] < 1e-2)
    (['restoration', 'similarity', 'smoothness'], True)
    """

    def __init__(
        self, network: RestorationUNet, *, window: int = 9, weights: Sequence[float] = (1.0, 1.0, 1.0)
    ) -> None:
        super().__init__()
        check_interval("[3, inf)", window=window)
        if window % 2 == 0:
            raise ValueError(f"`window` must be odd, got {window}.")
        self.network = network
        self.dims = network.spatial_dims
        self.affine_head = AffineHead(self.dims, network.encoder.channels[-1])
        self.flow_head = FlowHead(self.dims, network.decoder.channels[-1])
        self.correlation = LocalNormalizedCrossCorrelationLoss(
            self.dims, kernel_size=window, smooth_nr=FLAT**2, smooth_dr=FLAT
        )
        self.weights = check_weights(weights, TERMS)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        target = batch["target"].float()
        made = self._registered(batch)
        terms = (
            self.dissimilarity(target, made.warped),
            roughness(made.flow),
            F.mse_loss(made.restored.float(), target),
        )
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _registered(self, batch: Mapping[str, Tensor]) -> Registered:
        view, other = batch["view"], partners(batch["target"])
        check_batch_size(len(view), type(self).__name__)
        features, others = self.encoder(view), self.encoder(other)
        own, theirs = (self.network.decoder(maps)[-1] for maps in (features, others))
        affine = affine_map(self.affine_head(features[-1], others[-1]), self.dims)
        flow = self.flow_head(own, warp(theirs, affine).to(own.dtype))
        return Registered(self.network.head(own), warp(other, affine, flow), flow)

    def dissimilarity(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 minus the mean squared local correlation of two images (B, C, *spatial): 0 to 1."""
        with torch.autocast(x.device.type, enabled=False):
            value: Tensor = 1 + self.correlation(y.float(), x.float())
            return value

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return which shares of the difference of two scans, ``registered``, and of the damage, ``undone``, are gone.

        1 at best; 0 for the other scan, and for the view, as they are.
        """
        target, made = batch["target"].float(), self._registered(batch)
        apart, damage = self.dissimilarity(target, partners(target)), F.mse_loss(batch["view"].float(), target)
        left = self.dissimilarity(target, made.warped) / apart.clamp_min(1e-8)
        return {
            "registered": 1 - left,
            "undone": 1 - F.mse_loss(made.restored.float(), target) / damage.clamp_min(1e-8),
        }

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) as it is, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        made = self._registered(batch)
        shown = {"input": batch["view"], "target": batch["target"], "restored": made.restored}
        shown |= {"other scan": partners(batch["target"]), "warped to the target": made.warped}
        return {name: image.detach() for name, image in shown.items()}


def partners(x: Tensor) -> Tensor:
    """Return, for samples (B, ...), their partners: pairs exchanged; the last of an odd number gets the first.

    >>> partners(torch.arange(5))
    tensor([1, 0, 3, 2, 0])
    """
    order = torch.arange(len(x), device=x.device) ^ 1
    return x[torch.where(order < len(x), order, 0)]


__all__ = ["GVSL"]
