"""Cross-contrast masked auto-encoder: the contrasts of a visit share what they show and differ in how.

The winner of the FOMO25 and SSL3D challenges for residual encoders (MICCAI 2025), https://arxiv.org/abs/2601.13166.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv, Pool
from torch import Tensor

from monai_ssl.arguments import check_interval, check_weights
from monai_ssl.losses import explained
from monai_ssl.methods.base import Method
from monai_ssl.networks import MaskFill, RestorationUNet

TERMS = ("restoration", "translation", "divergence", "subject", "contrast")
_WIDEST = 20.0


class Coded(NamedTuple):
    """A masked view: its maps but the coarsest, and the latent code, (B, L, ...) each: sample, mean, log variance."""

    finer: list[Tensor]
    code: Tensor
    mean: Tensor
    log_variance: Tensor


class CrossContrast(Method):
    r"""Restore two masked contrasts of one place, each from its own code and from what both know of the subject.

    The maps of all scales, averaged to the coarsest resolution, give mean and variance of a code. One half of it tells
    the subject, s, the other the contrast, c. With a decoder D without skip connections, :math:`\bar s` the mean of
    both subjects and :math:`d` the smooth L1 distance (:math:`\beta = 0.1`), :math:`L = w_1 \sum_i d(D(s_i, c_i), x_i)
    + w_2 \sum_i d(D(\bar s, c_i), x_i) + w_3 \mathrm{KL} + w_4 (1 - \cos(s_1, s_2)) + w_5 \max(0, \cos(c_1, c_2))`.
    The weight of KL, averaged over both codes, rises over the first epochs. In evaluation the code is its mean.

    Args:
        network: U-Net without skip connections and sigmoid on the encoder that is to be pre-trained.
        latent: channels of the code, both halves.
        weights: :math:`w_1` to :math:`w_5`.
        rising: epochs over which the weight of KL rises.

    Batch:

    ========================== ================= =================================
    key                        shape             content
    ========================== ================= =================================
    ``view1``, ``view2``       (B, C, \*spatial) two contrasts of a visit, one place
    ``visible1``, ``visible2`` (B, 1, \*spatial) 1 where visible, 0 where masked
    ========================== ================= =================================

    Raises:
        ValueError: for numbers out of range, an odd ``latent``, or a network with skip connections.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = CrossContrast(RestorationUNet(ConvEncoder(2, widths=(4, 8)), skips=False, bounded=False), latent=8)
    >>> x, visible = torch.rand(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.4)
    >>> terms = method.losses({"view1": x, "view2": 1 - x, "visible1": visible, "visible2": visible})
    >>> sorted(terms)
    ['contrast', 'divergence', 'restoration', 'subject', 'translation']
    """

    def __init__(
        self,
        network: RestorationUNet,
        *,
        latent: int = 1024,
        weights: Sequence[float] = (3.0, 1.0, 0.001, 0.5, 0.5),
        rising: float = 10.0,
    ) -> None:
        super().__init__()
        check_interval("[2, inf)", latent=latent)
        check_interval("(0, inf)", rising=rising)
        if latent % 2:
            raise ValueError(f"`latent` has two halves and must be even, got {latent}.")
        if network.skips:
            raise ValueError("The network must have no skip connections, past which the code would be: `skips` false.")
        encoder, conv = network.encoder, Conv["conv", network.spatial_dims]
        self.network = network
        self.fill = MaskFill("zero", encoder.in_channels)
        self.to_code = conv(sum(encoder.channels), 2 * latent, 1)
        self.from_code = conv(latent, encoder.channels[-1], 1)
        self.weights, self.rising = check_weights(weights, TERMS), rising

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        views, coded = (batch["view1"], batch["view2"]), self._both(batch)
        (subject1, contrast1), (subject2, contrast2) = (c.code.float().chunk(2, 1) for c in coded)
        restored = [self._decoded(c, c.code) for c in coded]
        rise = min((self.epochs_done + 1) / self.rising, 1.0)
        terms = (
            torch.stack([_distance(x, y) for x, y in zip(restored, views, strict=True)]).sum(),
            torch.stack([_distance(x, y) for x, y in zip(self._translated(coded), views, strict=True)]).sum(),
            rise * torch.stack([divergence(c.mean, c.log_variance) for c in coded]).mean(),
            1 - cosine(subject1, subject2).mean(),
            cosine(contrast1, contrast2).clamp_min(0).mean(),
        )
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _both(self, batch: Mapping[str, Tensor]) -> list[Coded]:
        return [self._coded(batch[f"view{i}"], batch[f"visible{i}"]) for i in (1, 2)]

    def _coded(self, view: Tensor, visible: Tensor) -> Coded:
        maps = self.encoder(self.fill(view, visible))
        pool = Pool["adaptiveavg", self.network.spatial_dims](tuple(maps[-1].shape[2:]))
        mean, log_variance = self.to_code(torch.cat([pool(x) for x in maps], 1)).float().chunk(2, 1)
        log_variance = log_variance.clamp(-_WIDEST, _WIDEST)
        return Coded(maps[:-1], self._drawn(mean, log_variance) if self.training else mean, mean, log_variance)

    @staticmethod
    def _drawn(mean: Tensor, log_variance: Tensor) -> Tensor:
        return mean + torch.randn_like(mean) * (log_variance / 2).exp()

    def _decoded(self, coded: Coded, code: Tensor) -> Tensor:
        return self.network.restore([*coded.finer, self.from_code(code)])

    def _translated(self, coded: Sequence[Coded]) -> list[Tensor]:
        """Return each view from what both tell of the subject, and its own contrast."""
        both = torch.stack([c.code.chunk(2, 1)[0] for c in coded]).mean(0)
        return [self._decoded(c, torch.cat([both, c.code.chunk(2, 1)[1]], 1)) for c in coded]

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of what is masked in ``view1`` that is ``explained``, and ``translated``, with both views.

        0 for the mean of the visible voxels, 1 at best.
        """
        coded, view, visible = self._both(batch), batch["view1"], batch["visible1"]
        own, helped = self._decoded(coded[0], coded[0].code), self._translated(coded)[0]
        return {"explained": explained(own, view, visible), "translated": explained(helped, view, visible)}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) with nothing masked, by name."""
        coded = self._coded(x, torch.ones_like(x[:, :1]))
        return {"restored": self._decoded(coded, coded.mean)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        coded = self._both(batch)
        shown = {
            "input": self.fill(batch["view1"], batch["visible1"]),
            "target": batch["view1"],
            "restored": self._decoded(coded[0], coded[0].code),
            "with both": self._translated(coded)[0],
            "other contrast": batch["view2"],
        }
        return {name: image.detach() for name, image in shown.items()}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the mean over elements of KL from the standard normal distribution: 0 for mean 0 and variance 1."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosines (B,) of codes (B, L, *spatial), each taken as one vector."""
    return F.cosine_similarity(a.flatten(1), b.flatten(1), dim=1)


def _distance(restored: Tensor, view: Tensor) -> Tensor:
    return F.smooth_l1_loss(restored.float(), view.float(), beta=0.1)


__all__ = ["CrossContrast"]
