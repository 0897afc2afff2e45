"""DiRA: discriminative, restorative and adversarial learning on one encoder (MoCo, Barlow Twins, SimSiam, TransVW).

Haghighi, Hosseinzadeh Taher, Gotway, Liang, "DiRA: Discriminative, Restorative, and Adversarial Learning for
Self-supervised Medical Image Analysis", CVPR 2022. https://arxiv.org/abs/2204.10437
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_choice, check_weights
from monai_ssl.losses import discriminator_loss, generator_loss
from monai_ssl.losses.adversarial import Criterion
from monai_ssl.methods.base import Method, SharesFeatures
from monai_ssl.networks import RestorationUNet

Stage = Literal["di", "dir", "dira"]


class DiRA(Method):
    r"""Put restoration and an adversary beside any method that discriminates by the features of one view.

    Eq. 4: :math:`L = \lambda_{dis} L_{dis}(z_1, z_2) + \lambda_{res} \lVert x_1 - x_1' \rVert^2 + \lambda_{adv}
    L_{adv}(x_1, x_1')`, with the restoration :math:`x_1' = g(f(T(x_1)))` of the first view by a U-Net
    whose encoder :math:`f` is also that of ``base``. The encoder sees the first view once for all three.

    The discriminator is trained after the network in each iteration, on the restorations that the network's step has
    made (as the authors' code does). Validation loss leaves out the adversarial term, which tells of the discriminator
    as much as of the network.

    Args:
        base: what discriminates, :math:`L_{dis}`: ``MoCo``, ``BarlowTwins``, ``SimSiam``, or ``TransVW`` without its
            own restoration, built on the encoder of ``network``.
        network: U-Net; with one output channel the mean over the channels of the target is restored.
        discriminator: maps images of the U-Net's output channels to logits of being real; used in stage ``"dira"``.
        stage: ``"di"`` discriminates only, ``"dir"`` also restores, ``"dira"`` does all.
        weights: :math:`\lambda_{dis}`, :math:`\lambda_{res}` and :math:`\lambda_{adv}`; the paper has 1, 10 and 0.001
            in 2-D, 1, 100 and 1 in 3-D.
        gan: ``"lsgan"``, least squares on the logits (the authors' code), or ``"bce"``, the logarithms of eq. 3.

    Batch: that of ``base``, whose ``view1`` (or ``view``) is restored, and

    ========== =================== ==========================================
    key        shape               content
    ========== =================== ==========================================
    ``target`` (B, C, \*spatial)   that view before it was augmented, in [0, 1]
    ========== =================== ==========================================

    Raises:
        TypeError: when ``base`` cannot share its features.
        ValueError: for an unknown stage or ``gan``, weights that are not three numbers of at least 0, another encoder
            in ``base`` than in ``network``, or a target whose channels the network does not restore.
        RuntimeError: when the discriminator's step comes before the network's.

    >>> from monai_ssl.methods import SimSiam
    >>> from monai_ssl.networks import ConvEncoder, Discriminator
    >>> encoder = ConvEncoder(2, widths=(4, 8))
    >>> method = DiRA(SimSiam(encoder, dim=8, hidden=4), RestorationUNet(encoder), Discriminator(2, width=4))
    >>> batch = {name: torch.rand(2, 1, 32, 32) for name in ("view1", "view2", "target")}
    >>> {step: sorted(method(batch, step)) for step in method.steps}
    {'losses': ['adversarial', 'discrimination', 'restoration'], 'discriminator_losses': ['discriminator']}
    """

    def __init__(
        self,
        base: Method,
        network: RestorationUNet,
        discriminator: nn.Module,
        *,
        stage: Stage = "dira",
        weights: Sequence[float] = (1.0, 10.0, 0.001),
        gan: Criterion = "lsgan",
    ) -> None:
        super().__init__()
        _check_base(base, network)
        check_choice(("di", "dir", "dira"), stage=stage)
        check_choice(("lsgan", "bce"), gan=gan)
        if network.spatial_dims == 2:
            network.init_as_published()
        self.network, self.base = network, base
        self.discriminator = discriminator if stage == "dira" else None
        self.weights = check_weights(weights, ("discrimination", "restoration", "adversary"))
        self.stage, self.gan = stage, gan
        if stage == "dira":
            self.steps = ("losses", "discriminator_losses")
        self.sparse_gradients = base.sparse_gradients or stage == "di"  # which trains no decoder
        self._restored: Tensor | None = None

    @property
    def decoder(self) -> nn.Module | None:
        return None if self.stage == "di" else self.network.decoder

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        dis, res, adv = self.weights
        base = cast(SharesFeatures, self.base)
        features = self.encoder(self._first_view(batch))
        terms = {"discrimination": dis * torch.stack(list(base.losses_from(features, batch).values())).sum()}
        if self.stage == "di":
            return terms
        restored = self.network.restore(features)
        terms["restoration"] = res * F.mse_loss(restored.float(), _target(batch, restored).float())
        if self.discriminator is not None:
            self._restored = restored.detach()
            if self.training:
                terms["adversarial"] = adv * generator_loss(self.discriminator(restored), self.gan)
        return terms

    def discriminator_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what the discriminator minimizes, on the target and its restoration of the step before."""
        if self.discriminator is None or self._restored is None:
            raise RuntimeError("DiRA's `discriminator_losses` follow `losses` of the same batch, in stage 'dira' only.")
        real = self.discriminator(_target(batch, self._restored))
        return {"discriminator": discriminator_loss(real, self.discriminator(self._restored), self.gan)}

    def step_parameters(self, step: str) -> Iterator[nn.Parameter]:
        own = step == "discriminator_losses"
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and name.startswith("discriminator.") == own:
                yield parameter

    def parameter_groups(self, step: str = "losses") -> list[dict[str, Any]]:
        """Return one group, and those that ``base`` marks, such as SimSiam's predictor with its fixed learning rate.

        The discriminator keeps its learning rate too, as in the authors' code.
        """
        if step == "discriminator_losses":
            return [{"params": list(self.step_parameters(step)), "fixed_lr": True}]
        marked = [group for group in self.base.parameter_groups() if set(group) != {"params"}]
        apart = {id(parameter) for group in marked for parameter in group["params"]}
        return [{"params": [p for p in self.step_parameters(step) if id(p) not in apart]}, *marked]

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the mean logits of real and of restored patches, and the share of both that are told apart.

        An accuracy near 1 leaves the network nothing to learn from the adversary, near 0.5 the adversary sees nothing.
        """
        if self.discriminator is None:
            return {}
        restored = self.network(self._first_view(batch))
        real, fake = self.discriminator(_target(batch, restored)), self.discriminator(restored)
        between = 0.5 if self.gan == "lsgan" else 0.0
        told_apart = torch.stack([real > between, fake < between]).float().mean()
        return {"discriminator_accuracy": told_apart, "logit_real": real.mean(), "logit_restored": fake.mean()}

    def after_step(self) -> None:
        self._restored = None
        self.base.after_step()

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration of ``x`` (B, C, *spatial), by name; nothing in stage ``"di"``."""
        return {} if self.stage == "di" else {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        first = self._first_view(batch)
        images = {"input": first, "target": batch["target"], **self.restore(first)}
        if "view2" in batch:
            images["view2"] = batch["view2"]
        return {name: image.detach() for name, image in images.items()}

    def _first_view(self, batch: Mapping[str, Tensor]) -> Tensor:
        return batch[cast(SharesFeatures, self.base).shared_view]


def _target(batch: Mapping[str, Tensor], restored: Tensor) -> Tensor:
    """The clean view as the network restores it: radiographs have three equal channels, their restoration has one."""
    target, channels = batch["target"], restored.shape[1]
    if channels == 1:
        return target.mean(1, keepdim=True)
    if target.shape[1] != channels:
        raise ValueError(
            f"DiRA restores {channels} channels, but the target has {target.shape[1]}: set `out_channels` of `network` "
            f"and `in_channels` of `discriminator` to {target.shape[1]}, or both to 1 for the mean of all."
        )
    return target


def _check_base(base: Method, network: RestorationUNet) -> None:
    if not isinstance(base, SharesFeatures):
        raise TypeError(
            f"`base` of DiRA must share its features (MoCo, BarlowTwins, SimSiam, TransVW), got {type(base).__name__}."
        )
    if base.encoder is not network.encoder:
        raise ValueError("`base` of DiRA must be built on the encoder of `network`; give both the same one.")


__all__ = ["DiRA"]
