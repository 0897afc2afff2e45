"""Auto-encoder: reconstruct the image from the bottleneck of a U-Net.

The baseline "AE" of Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and
Tasks", 2022, https://arxiv.org/abs/2209.12157, and the first stage of TransVW.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


class AutoEncoder(Method):
    r"""Compress an image and reproduce it, :math:`L = MSE(G(x), x)`.

    Args:
        network: U-Net on the encoder that is to be pre-trained; best without skip connections, since with them the
            finest maps alone reproduce the image and the encoder learns nothing.

    Batch:

    ========== ================= ===================
    key        shape             content
    ========== ================= ===================
    ``view``   (B, C, \*spatial) x, in [0, 1]
    ========== ================= ===================

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = AutoEncoder(RestorationUNet(ConvEncoder(2, widths=(4, 8)), skips=False))
    >>> x = torch.rand(2, 1, 16, 16)
    >>> loss = method.losses({"view": x})["restoration"]
    >>> torch.isclose(loss, F.mse_loss(method.restore(x)["restored"], x))
    tensor(True)
    """

    def __init__(self, network: RestorationUNet) -> None:
        super().__init__()
        self.network = network

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x = batch["view"]
        return {"restoration": F.mse_loss(self.network(x).float(), x.float())}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the reproduction (B, C, *spatial) of ``x``, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        sheet = {"target": batch["view"], **self.restore(batch["view"])}
        return {name: image.detach() for name, image in sheet.items()}


__all__ = ["AutoEncoder"]
