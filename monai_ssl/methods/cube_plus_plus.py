"""Rubik's cube++: restore a volume whose layers were turned, with an adversarial loss.

Tao, Li, Zhou, Ma, Zheng, "Revisiting Rubik's Cube: Self-supervised Learning with Volume-wise Transformation for 3D
Medical Image Segmentation", MICCAI 2020. https://arxiv.org/abs/2007.08826
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_weights
from monai_ssl.losses import discriminator_loss, generator_loss
from monai_ssl.methods.base import Method
from monai_ssl.networks import RestorationUNet


class CubePlusPlus(Method):
    r"""Restore what was turned: :math:`L_G = w \lVert G(T(x)) - x \rVert_1 + v (D(G(T(x)), T(x)) - 1)^2`.

    The discriminator sees an image together with the disarranged one, so it must judge the arrangement too:
    :math:`L_D = \frac{1}{2} (D(x, T(x)) - 1)^2 + \frac{1}{2} D(G(T(x)), T(x))^2`. It is trained after the generator in
    each iteration, on the restorations that the generator's step has made. Validation loss leaves the adversarial term
    out, since it tells of the discriminator as much as of the generator.

    Args:
        network: the generator G, a U-Net on the encoder that is to be pre-trained.
        discriminator: maps an image and the disarranged image, joined along channels, to logits; ``None`` for
            restoration alone, as PCRLv1's authors trained it for comparison.
        weights: :math:`w` and :math:`v`; those of the paper could not be found, these are ours.

    Batch:

    ========== ================= ======================================
    key        shape             content
    ========== ================= ======================================
    ``view``   (B, C, \*spatial) T(x), the disarranged image, in [0, 1]
    ``target`` (B, C, \*spatial) x, in [0, 1]
    ========== ================= ======================================

    Raises:
        ValueError: when the weights are not two numbers of at least 0.
        RuntimeError: when the discriminator's step comes before the generator's.

    >>> from monai_ssl.networks import ConvEncoder, Discriminator
    >>> network = RestorationUNet(ConvEncoder(2, widths=(4, 8)))
    >>> method = CubePlusPlus(network, Discriminator(2, in_channels=2, width=4))
    >>> batch = {"view": torch.rand(2, 1, 32, 32), "target": torch.rand(2, 1, 32, 32)}
    >>> {step: sorted(method(batch, step)) for step in method.steps}
    {'losses': ['adversarial', 'restoration'], 'discriminator_losses': ['discriminator']}
    """

    def __init__(
        self, network: RestorationUNet, discriminator: nn.Module | None = None, weights: Sequence[float] = (10.0, 1.0)
    ) -> None:
        super().__init__()
        self.weights = check_weights(weights, ("restoration", "adversary"))
        self.network, self.discriminator = network, discriminator
        if discriminator is not None:
            self.steps = ("losses", "discriminator_losses")
        self._restored: Tensor | None = None

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        restoration, adversary = self.weights
        view = batch["view"]
        restored = self.network(view)
        terms = {"restoration": restoration * F.l1_loss(restored.float(), batch["target"].float())}
        if self.discriminator is not None:
            self._restored = restored.detach()
            if self.training:
                terms["adversarial"] = adversary * generator_loss(self.discriminator(torch.cat([restored, view], 1)))
        return terms

    def discriminator_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the discriminator minimizes, on the target and its restoration of the step before."""
        if self.discriminator is None or self._restored is None:
            raise RuntimeError("CubePlusPlus' `discriminator_losses` follow `losses` of the same batch.")
        real, fake = (torch.cat([x, batch["view"]], 1) for x in (batch["target"], self._restored))
        return {"discriminator": discriminator_loss(self.discriminator(real), self.discriminator(fake))}

    def step_parameters(self, step: str) -> Iterator[nn.Parameter]:
        own = step == "discriminator_losses"
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and name.startswith("discriminator.") == own:
                yield parameter

    def after_step(self) -> None:
        self._restored = None

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the image (B, C, *spatial) of which ``x`` was made, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        sheet = {"input": batch["view"], "target": batch["target"], **self.restore(batch["view"])}
        return {name: image.detach() for name, image in sheet.items()}


__all__ = ["CubePlusPlus"]
