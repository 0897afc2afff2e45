"""Models Genesis: restore images after local shuffling, non-linear intensities, in-painting and out-painting.

Zhou, Sodha, Pang, Gotway, Liang, "Models Genesis", Medical Image Analysis 67, 2021.
https://doi.org/10.1016/j.media.2020.101840. Authors' code: https://github.com/MrGiovanni/ModelsGenesis.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


class ModelsGenesis(Method):
    r"""Learn anatomy by :math:`L = MSE(G(T(x)), x)`, a U-Net G and transformations T that stand among the views.

    T is local shuffling (texture and boundaries), a Bezier curve of intensities (appearance), and in-painting or
    out-painting (context).

    Args:
        network: U-Net on the encoder that is to be pre-trained. The paper's has skip connections; without them all
            must pass the bottleneck, which transfers better in Zhang and Gu, "Dive into Self-Supervised Learning for
            Medical Image Analysis", 2022, https://arxiv.org/abs/2209.12157.

    Batch:

    ========== ================= ==================================
    key        shape             content
    ========== ================= ==================================
    ``view``   (B, C, \*spatial) T(x), in [0, 1]
    ``target`` (B, C, \*spatial) x, in [0, 1], flipped as ``view`` is
    ========== ================= ==================================

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = ModelsGenesis(RestorationUNet(ConvEncoder(2, widths=(4, 8))))
    >>> batch = {"view": torch.rand(2, 1, 16, 16), "target": torch.rand(2, 1, 16, 16)}
    >>> loss = method.losses(batch)["restoration"]
    >>> torch.isclose(loss, F.mse_loss(method.restore(batch["view"])["restored"], batch["target"]))
    tensor(True)
    """

    def __init__(self, network: RestorationUNet) -> None:
        super().__init__()
        self.network = network

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        restored = self.network(batch["view"])
        return {"restoration": F.mse_loss(restored.float(), batch["target"].float())}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration (B, C, *spatial) of ``x``, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        sheet = {"input": batch["view"], "target": batch["target"], **self.restore(batch["view"])}
        return {name: image.detach() for name, image in sheet.items()}


__all__ = ["ModelsGenesis"]
