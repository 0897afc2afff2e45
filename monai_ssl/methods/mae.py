"""MAE on a U-Net: masked auto-encoding (masked image modeling), restore masked blocks from the visible ones.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, https://arxiv.org/abs/2111.06377, on a
residual encoder U-Net as in Wald et al., "Revisiting MAE Pre-training for 3D Medical Image Segmentation", CVPR 2025,
https://arxiv.org/abs/2410.23132, and "An OpenMind for 3D Medical Vision Self-supervised Learning", ICCV 2025,
https://arxiv.org/abs/2412.17041.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_ssl.arguments import check_choice
from monai_ssl.losses import explained, masked_error
from monai_ssl.losses.masked_error import DISTANCES
from monai_ssl.methods.base import Method
from monai_ssl.networks import MaskFill, RestorationUNet


class MAE(Method):
    r"""Restore what is masked, :math:`L = \frac{\sum (1 - m)(G(\tilde x) - x)^2}{\sum (1 - m)}`, masked voxels only.

    :math:`\tilde x` holds x where m = 1, visible, and a value that says nothing of x where m = 0. Under z-score a
    restoration by 0 costs about 1.

    Args:
        network: U-Net on the encoder that is to be pre-trained; without a sigmoid where images are z-scored.
        mask_value: what stands in place of masked voxels, see :class:`monai_ssl.networks.MaskFill`.
        distance: of restored and true voxels, ``"mse"`` or ``"l1"``.
        masked_only: else visible voxels count, too (AMAES).

    Batch:

    =========== ================= ===============================================
    key         shape             content
    =========== ================= ===============================================
    ``view``    (B, C, \*spatial) x as the network sees it where it may see it
    ``target``  (B, C, \*spatial) x
    ``visible`` (B, 1, \*spatial) m: 1 where visible, 0 where masked
    =========== ================= ===============================================

    Raises:
        ValueError: for an unknown ``mask_value`` or ``distance``.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = MAE(RestorationUNet(ConvEncoder(2, widths=(4, 8)), bounded=False))
    >>> x, visible = torch.randn(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.25)
    >>> sorted(method.losses({"view": x, "target": x, "visible": visible}))
    ['restoration']
    """

    def __init__(
        self,
        network: RestorationUNet,
        *,
        mask_value: str = "zero",
        distance: str = "mse",
        masked_only: bool = True,
    ) -> None:
        super().__init__()
        check_choice(DISTANCES, distance=distance)
        self.network = network
        self.fill = MaskFill(mask_value, network.encoder.in_channels)
        self.distance, self.masked_only = distance, masked_only

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        visible = batch["visible"]
        counted = visible if self.masked_only else torch.zeros_like(visible)
        return {"restoration": masked_error(self._restored(batch), batch["target"], counted, self.distance)}

    def _restored(self, batch: Mapping[str, Tensor]) -> Tensor:
        restored: Tensor = self.network(self.fill(batch["view"], batch["visible"]))
        return restored

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of what is masked that is ``explained``: 0 for the mean of the visible voxels, 1 at best."""
        return {"explained": explained(self._restored(batch), batch["target"], batch["visible"])}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) with nothing masked, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        visible, target, restored = batch["visible"], batch["target"], self._restored(batch).detach()
        merged = torch.where(visible > 0, target, restored.to(target.dtype))
        return {
            "input": self.fill(batch["view"], visible).detach(),
            "target": target,
            "restored": restored,
            "merged": merged,
        }


__all__ = ["MAE"]
