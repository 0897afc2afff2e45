"""Volume fusion (MIS-FM): segment which mixing coefficient two fused images have at each voxel.

Wang et al., "MIS-FM: 3D Medical Image Segmentation using Foundation Models Pretrained on a Large-Scale Unannotated
Dataset", 2023, https://arxiv.org/abs/2306.16925.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from torch import Tensor

from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


class VolumeFusion(Method):
    r"""Cross-entropy and Dice of the K + 1 mixing levels, as in a segmentation with labels; encoder and decoder learn.

    A network that answers at random has a cross-entropy of :math:`\log(K + 1)`, 1.609 for K = 4.

    Args:
        network: U-Net on the encoder that is to be pre-trained, with K + 1 output channels and without a sigmoid.

    Batch:

    ========== ================= =============================================================
    key        shape             content
    ========== ================= =============================================================
    ``view``   (B, C, \*spatial) fused images
    ``levels`` (B, \*spatial)    level of each voxel, 0 (all background) to K (all foreground)
    ========== ================= =============================================================

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = VolumeFusion(RestorationUNet(ConvEncoder(2, widths=(4, 8)), 5, bounded=False))
    >>> batch = {"view": torch.rand(2, 1, 16, 16), "levels": torch.randint(5, (2, 16, 16))}
    >>> sorted(method.losses(batch))
    ['cross_entropy', 'dice']
    """

    def __init__(self, network: RestorationUNet) -> None:
        super().__init__()
        self.network = network
        self._dice = DiceLoss(to_onehot_y=True, softmax=True)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits, levels = self.network(batch["view"]).float(), batch["levels"]
        with torch.autocast(logits.device.type, enabled=False):
            return {"cross_entropy": F.cross_entropy(logits, levels), "dice": self._dice(logits, levels.unsqueeze(1))}

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the ``accuracy``, the share of voxels whose level is found."""
        return {"accuracy": (self.network(batch["view"]).argmax(1) == batch["levels"]).float().mean()}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = self.network(batch["view"]).argmax(1)
        levels = {"levels": batch["levels"], "found": found}
        return {"input": batch["view"], **{name: level.unsqueeze(1).float() for name, level in levels.items()}}


__all__ = ["VolumeFusion"]
