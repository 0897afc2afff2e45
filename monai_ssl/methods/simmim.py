"""SimMIM: masked tokens are replaced by one learned vector, all go through the encoder, L1 on masked voxels.

Xie et al., "SimMIM: A Simple Framework for Masked Image Modeling", CVPR 2022, https://arxiv.org/abs/2111.09886.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from monai_ssl.arguments import check_choice
from monai_ssl.losses import explained, masked_error
from monai_ssl.losses.masked_error import DISTANCES
from monai_ssl.methods.base import Method
from monai_ssl.networks import Primus, RestorationUNet, mask_token, mask_tokens


class SimMIM(Method):
    r"""Restore masked voxels, :math:`L = \frac{\sum (1 - m) |D(E(x, m)) - x|}{\sum (1 - m)}`, by a transformer.

    After the embedding of patches, and before any position is added, each cell with a masked voxel becomes the same
    learned vector. Masked voxels are 0 in the image itself, so that nothing goes around the embedding.

    Args:
        network: a light decoder on the encoder that is to be pre-trained; without a sigmoid where images are z-scored.
        embedding: name of the encoder's module that makes cells (B, width, *grid) of an image: ``"embedding"`` of a
            :class:`monai_ssl.networks.VisionTransformer`, ``"net.swinViT.patch_embed"`` of MONAI's SwinUNETR.
        distance: of restored and true voxels, ``"l1"`` (the paper) or ``"mse"``.

    Batch:

    =========== ================= =======================================
    key         shape             content
    =========== ================= =======================================
    ``view``    (B, C, \*spatial) x as the network may see it
    ``target``  (B, C, \*spatial) x
    ``visible`` (B, 1, \*spatial) m: 1 where visible, 0 where masked
    =========== ================= =======================================

    Raises:
        ValueError: for an encoder without such a module, or an unknown ``distance``.

    >>> from monai_ssl.networks import VisionTransformer
    >>> encoder = VisionTransformer(2, window_size=(16, 16), width=8, depth=1, heads=2)
    >>> method = SimMIM(RestorationUNet(encoder, bounded=False))
    >>> x, visible = torch.randn(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.5)
    >>> sorted(method.losses({"view": x, "target": x, "visible": visible}))
    ['restoration']
    """

    def __init__(
        self, network: RestorationUNet | Primus, *, embedding: str = "embedding", distance: str = "l1"
    ) -> None:
        super().__init__()
        check_choice(DISTANCES, distance=distance)
        self.network, self.embedding, self.distance = network, embedding, distance
        self.token = mask_token(network.encoder, embedding)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        restored = self._restored(batch)
        return {"restoration": masked_error(restored, batch["target"], batch["visible"], self.distance)}

    def _restored(self, batch: Mapping[str, Tensor]) -> Tensor:
        visible = batch["visible"]
        with mask_tokens(self.encoder, self.embedding, self.token, visible):
            restored: Tensor = self.network(torch.where(visible > 0, batch["view"], 0.0))
        return restored

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of what is masked that is ``explained``: 0 for the mean of the visible voxels, 1 at best."""
        return {"explained": explained(self._restored(batch), batch["target"], batch["visible"])}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) with nothing masked, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        visible, target = batch["visible"] > 0, batch["target"]
        restored = self._restored(batch).detach().to(target.dtype)
        return {
            "input": torch.where(visible, batch["view"], 0.0),
            "target": target,
            "restored": restored,
            "merged": torch.where(visible, target, restored),
        }


__all__ = ["SimMIM"]
