"""SparK / S3D: masked auto-encoding with sparse convolutions, whose encoder sees visible voxels only.

Tian et al., "Designing BERT for Convolutional Networks: Sparse and Hierarchical Masked Modeling", ICLR 2023,
https://arxiv.org/abs/2301.03580, in 3-D as in Wald et al., "Revisiting MAE Pre-training for 3D Medical Image
Segmentation" (S3D), CVPR 2025, https://arxiv.org/abs/2410.23132.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.losses import explained, masked_error
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet, sparse_features
from monai_ssl.networks.sparse import check_norms


class Densify(nn.Module):
    """Fill the inactive positions of a map with a learned mask token, then a convolution of the same width.

    Args:
        spatial_dims: 2 or 3.
        channels: of the map.
        kernel: side of the kernel.
    """

    def __init__(self, spatial_dims: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.token = nn.Parameter(nn.init.trunc_normal_(torch.empty(channels), std=0.02, a=-0.02, b=0.02))
        self.projection = Conv["conv", spatial_dims](channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, active: Tensor) -> Tensor:
        """Return the dense map of ``x`` (B, C, *spatial), given where it is active (B, 1, *spatial)."""
        token = self.token.reshape(-1, *[1] * (x.ndim - 2)).to(x.dtype)
        return self.projection(torch.where(active > 0, x, token))


class Spark(Method):
    r"""Restore masked voxels, :math:`L = \frac{\sum (1 - m)(D(E_m(x)) - x)^2}{\sum (1 - m)}`, by a sparse encoder.

    :math:`E_m` gives 0 wherever nothing is visible and normalizes by visible positions only, so that masks do not shift
    its statistics; its names and shapes are those of the dense encoder, which it is where nothing is masked. Each of
    its maps is filled with a mask token and projected before the decoder.

    Args:
        network: U-Net on the encoder that is to be pre-trained, with instance norm; without a sigmoid where images are
            z-scored.

    Batch:

    =========== ================= =======================================
    key         shape             content
    =========== ================= =======================================
    ``view``    (B, C, \*spatial) x as the network may see it
    ``target``  (B, C, \*spatial) x
    ``visible`` (B, 1, \*spatial) m: 1 where visible, 0 where masked
    =========== ================= =======================================

    Raises:
        ValueError: when the encoder has another norm than instance norm.

    >>> import torch
    >>> from monai_ssl.networks import ResidualEncoder
    >>> method = Spark(RestorationUNet(ResidualEncoder(2, widths=(4, 8), depths=(1, 1)), bounded=False))
    >>> x, visible = torch.randn(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.25)
    >>> sorted(method.losses({"view": x, "target": x, "visible": visible}))
    ['restoration']
    """

    def __init__(self, network: RestorationUNet) -> None:
        super().__init__()
        self.network = network
        encoder = network.encoder
        check_norms(encoder)
        kernels = [3] * (len(encoder.channels) - 1) + [1]
        self.densify = nn.ModuleList(
            Densify(encoder.spatial_dims, width, kernel)
            for width, kernel in zip(encoder.channels, kernels, strict=True)
        )

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        restored = self._restored(batch["view"], batch["visible"])
        return {"restoration": masked_error(restored, batch["target"], batch["visible"])}

    def _restored(self, x: Tensor, visible: Tensor | None) -> Tensor:
        features, active = sparse_features(self.encoder, x, visible)
        dense = [fill(f, a) for fill, f, a in zip(self.densify, features, active, strict=True)]
        return self.network.restore(dense)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of what is masked that is ``explained``: 0 for the mean of the visible voxels, 1 at best."""
        restored = self._restored(batch["view"], batch["visible"])
        return {"explained": explained(restored, batch["target"], batch["visible"])}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) with nothing masked, by name."""
        return {"restored": self._restored(x, None)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        visible, target = batch["visible"] > 0, batch["target"]
        restored = self._restored(batch["view"], batch["visible"]).detach().to(target.dtype)
        merged = torch.where(visible, target, restored)
        return {
            "input": torch.where(visible, batch["view"], 0.0),
            "target": target,
            "restored": restored,
            "merged": merged,
        }


__all__ = ["Spark"]
