"""SimCLR v1 and v2: contrast two views with all other views of the batch (NT-Xent).

Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
https://arxiv.org/abs/2002.05709. v2: Chen, Kornblith, Swersky, Norouzi, Hinton, "Big Self-Supervised Models are Strong
Semi-Supervised Learners", NeurIPS 2020, https://arxiv.org/abs/2006.10029.
Sizes and numbers in 3-D: Zhang and Gu, "Dive into Self-supervised Learning for Medical Image Analysis: Data, Models and
Tasks", 2022. https://arxiv.org/abs/2209.12157
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval
from monai_ssl.losses import nt_xent
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class SimCLR(Method):
    r"""Contrast two views of a scan with the views of all other scans of the batch.

    Eq. 1, the mean over all 2N views: :math:`\ell_{ij} = -\log\frac{\exp(\cos(z_i, z_j) / \tau)}{\sum_{k \ne i}
    \exp(\cos(z_i, z_k) / \tau)}` with :math:`z = g(f(x))`.

    The batch is that of all processes. With gradient accumulation it is one forward pass: a view is contrasted with
    ``batch_size``, not with ``batch_size`` times ``accumulation_steps`` scans.

    Args:
        encoder: what is pre-trained, f.
        hidden: width of the hidden layer of the head g.
        dim: length of a vector z.
        temperature: positive.
        norm: batch norm in place of biases behind each layer of the head, as in v2. On a
            :class:`~monai_ssl.networks.HeadedEncoder` the head has the three layers of v2, of which the first is
            exported with the encoder.

    Batch:

    ==================== =================== ==========================
    key                  shape               content
    ==================== =================== ==========================
    ``view1``, ``view2`` (B, C, \*spatial)   two views of each scan
    ==================== =================== ==========================

    Raises:
        ValueError: for a temperature that is not positive, or a batch of one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = SimCLR(ConvEncoder(2, widths=(4, 8)), hidden=8, dim=4, temperature=1e6)
    >>> loss = method.losses({"view1": torch.rand(3, 1, 16, 16), "view2": torch.rand(3, 1, 16, 16)})["contrast"]
    >>> torch.isclose(loss.exp(), torch.tensor(5.0))  # so hot that all five other views are alike
    tensor(True)
    """

    shared_view = "view1"

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden: int = 512,
        dim: int = 256,
        temperature: float = 0.07,
        norm: bool = False,
    ) -> None:
        super().__init__()
        check_interval("(0, inf)", temperature=temperature)
        widths = [encoder.width, hidden, dim]
        head = projector(widths, norm=True, bias=False, last_norm="affine") if norm else projector(widths)
        self.network = ProjectedEncoder(encoder, head)
        self.temperature, self.norm = temperature, norm

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.losses_from(self.encoder(batch[self.shared_view]), batch)

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms, given the feature maps of ``view1``, so that another objective may share them."""
        if self.norm:
            check_batch_size(len(batch["view1"]), "SimCLR v2")
        z1, z2 = self.network.project(features), self.network(batch["view2"])
        return {"contrast": nt_xent(z1, z2, self.temperature)}


__all__ = ["SimCLR"]
