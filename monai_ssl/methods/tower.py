"""TOWER: contrast and restoration of images after non-linear intensities and modality-specific masks.

Chen, Li, Chen, Luo, "A Knowledge-based Learning Framework for Self-supervised Pre-training Towards Enhanced Recognition
of Medical Images", 2022. https://arxiv.org/abs/2211.14715
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.losses import nt_xent
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet, average, init_heads, projector

TASKS = ("contrast", "restoration")


class TOWER(Method):
    r"""Contrast a clean image with its transformed view, and restore the clean image from that view.

    The transformed view is :math:`x'' = NL(x) \times Mask`: intensities along a Bezier curve (eq. 2), then a mask in
    the shape of what matters in the modality. :math:`L = L_{Con} + L_{Gen}`: eq. 4, NT-Xent between
    :math:`z = h(f(x))` and :math:`z'' = h(f(x''))`, and eq. 5, the distance of :math:`d(f(x''))` from :math:`x`.
    Clean and transformed images go through the encoder one after the other, as in the authors' code, so that batch
    norm never mixes their statistics; the clean ones are not decoded.

    Args:
        network: U-Net on the encoder that is to be pre-trained, d and f.
        tasks: ``"contrast"``, ``"restoration"`` or both (rows of table III).
        dim: length of a vector z.
        temperature: of eq. 4, positive.
        symmetric: clean and transformed images are anchors, as in SimCLR and the authors' code; else the clean ones
            only, eq. 4 to the letter.
        restoration: ``"mse"``, eq. 5, or ``"l1"``, as most scripts of the authors' code.
        masked_only: restore only what the mask hides; needs ``visible`` in the batch.

    Batch:

    =========== ==================== =====================================================
    key         shape                content
    =========== ==================== =====================================================
    ``target``  (B, C, \*spatial)    the clean image x in [0, 1]
    ``view``    (B, C, \*spatial)    its transformed view x''
    ``visible`` (B, 1, \*spatial)    0 where masked, else 1; only read if ``masked_only``
    =========== ==================== =====================================================

    Raises:
        ValueError: for an unknown task or distance, a temperature that is not positive, or a contrast in a batch of
            one sample.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder
    >>> method = TOWER(RestorationUNet(ConvEncoder(2, widths=(4, 8))))
    >>> sorted(method.losses({"view": torch.rand(2, 1, 16, 16), "target": torch.rand(2, 1, 16, 16)}))
    ['contrast', 'restoration']
    """

    def __init__(
        self,
        network: RestorationUNet,
        tasks: Sequence[str] = TASKS,
        dim: int = 128,
        *,
        temperature: float = 0.1,
        symmetric: bool = True,
        restoration: Literal["mse", "l1"] = "mse",
        masked_only: bool = False,
    ) -> None:
        super().__init__()
        check_interval("(0, inf)", temperature=temperature)
        if not tasks or not set(tasks) <= set(TASKS):
            raise ValueError(f"`tasks` must name at least one of {', '.join(TASKS)}, got {list(tasks)}.")
        check_choice(("mse", "l1"), restoration=restoration)
        self.network = network
        self.tasks = tuple(tasks)
        self.temperature = temperature
        self.symmetric = symmetric
        self.restoration = restoration
        self.masked_only = masked_only
        # without restoration the decoder gets no gradient
        self.sparse_gradients = "restoration" not in self.tasks
        width = network.encoder.channels[-1]
        self.projector = projector([width, width, dim]) if "contrast" in self.tasks else None
        init_heads(nn.ModuleList([] if self.projector is None else [self.projector]))
        if network.spatial_dims == 2:
            network.init_as_published()

    @property
    def decoder(self) -> nn.Module | None:
        return self.network.decoder if "restoration" in self.tasks else None

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        transformed = self.encoder(batch["view"])
        terms: dict[str, Tensor] = {}
        if self.projector is not None:
            clean = self.encoder(batch["target"])
            terms["contrast"] = nt_xent(self._embed(clean), self._embed(transformed), self.temperature, self.symmetric)
        if "restoration" in self.tasks:
            terms["restoration"] = self._distance(self.network.restore(transformed), batch)
        return terms

    def _embed(self, features: Sequence[Tensor]) -> Tensor:
        """Return z (B, dim): the representation is the average of the coarsest map."""
        assert self.projector is not None
        z: Tensor = self.projector(average(features[-1]))
        return z

    def _distance(self, restored: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """L_Gen, eq. 5, as a mean over pixels, channels and batch."""
        error = restored.float() - batch["target"].float()
        error = error.square() if self.restoration == "mse" else error.abs()
        if not self.masked_only:
            return error.mean()
        if "visible" not in batch:
            raise KeyError(
                "`masked_only` needs to know what the mask hides, but the batch has no `visible`; give the mask in "
                "`views` the argument `visible_key: visible`."
            )
        hidden = 1 - batch["visible"].float()
        # a batch of which nothing happens to be masked has nothing to restore
        return (error * hidden).sum() / (hidden.sum() * error.shape[1]).clamp_min(1.0)

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration (B, C, *spatial) of ``x``, by name.

        Raises:
            ValueError: when ``tasks`` are without ``"restoration"``.
        """
        if "restoration" not in self.tasks:
            raise ValueError("TOWER without `restoration` among its `tasks` restores no images; ask for features.")
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        panels = {"input": batch["view"], "target": batch["target"]}
        if "restoration" in self.tasks:
            panels |= self.restore(batch["view"])
        return {name: image.detach() for name, image in panels.items()}


__all__ = ["TOWER"]
