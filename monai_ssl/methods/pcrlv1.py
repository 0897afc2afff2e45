"""PCRLv1: MoCo-like contrast plus restoration of transformed images through a conditioned decoder (TransAtt, CrossMix).

Zhou, Lu, Yang, Han, Yu, "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing
Diverse Contexts", ICCV 2021. https://arxiv.org/abs/2109.04379. Authors' code: https://github.com/Luchixiang/PCRL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Beta

from monai_ssl.arguments import check_batch_size, check_choice, check_choices, check_interval
from monai_ssl.losses import FeatureQueue, info_nce
from monai_ssl.methods.base import Method
from monai_ssl.networks import (
    GateAttention,
    MomentumNetwork,
    OuterProductAttention,
    ProjectedEncoder,
    RestorationUNet,
    average,
    init_heads,
    projector,
    shuffle_batch,
    unshuffle_batch,
)
from monai_ssl.transforms.spatial.orientation import TURNS, Orientation

DIM = 128
BRANCHES = ("online", "momentum", "hybrid")
MOMENTUM = {"paper": 0.99, "reference": 0.999, "study": 0.999}


class PCRLv1(Method):
    r"""Preserve in a contrastive encoder what it takes to restore diverse contexts.

    The ordinary encoder o sees one view, the momentum encoder m the other, and the hybrid encoder h is the mix of
    their feature maps, :math:`F_h^i = \lambda F_o^i + (1-\lambda) F_m^i` (eq. 6), :math:`\lambda\sim Beta(\alpha,
    \alpha)`. One decoder D with skip connections restores all three,

    :math:`L = \frac12 L_c + \frac12 \sum_{b\in\{o,m,h\}} MSE(D(F_b), T_b(X_b))` (eq. 8), with
    :math:`X_h = \lambda X_o + (1-\lambda) X_m` (eq. 5),

    where each :math:`T_b` flips and turns the clean image, and D learns it from an attention on the coarsest map
    alone. :math:`L_c` is InfoNCE against a queue (eq. 7), of the maps before that attention.

    Args:
        network: U-Net with skip connections on the encoder that is to be pre-trained.
        preset: ``"paper"``; ``"reference"``, the step of the authors' code, see :meth:`_reference_losses`; ``"study"``,
            that of "Dive into SSL", see :meth:`_study_losses`.
        attention: ``"gate"``, as in the authors' code, or ``"outer"``, eq. 1-4 of the paper at a lower rank.
        transformations: of ``"flip"`` and ``"rotate"``; none leaves images as they are and the attention away
            ("Self-Recons." in tables 1 and 2).
        restored: of ``"online"``, ``"momentum"`` and ``"hybrid"``; without the last there is no CrossMix.
        rotation: tell by which quarter turn the online view was turned, as RotNet does (table 2, "RotNet").
        alpha: of the Beta distribution, positive.
        momentum: :math:`\beta` of eq. 9, in [0, 1]; ``None`` for 0.99, in the other presets 0.999.
        temperature: :math:`\tau` of eq. 7, positive.
        queue_size: negatives N, at least as many as the batch of all processes.
        queued: whose vectors become negatives; the paper queues those of all three branches.

    Batch:

    ======================== ===================== ==========================================
    key                      shape                 content
    ======================== ===================== ==========================================
    ``view1``, ``view2``     (B, C, \*spatial)     two crops of a scan, corrupted: o and m
    ``target1``, ``target2`` (B, C, \*spatial)     the same crops before corruption
    ======================== ===================== ==========================================

    Raises:
        ValueError: for an unknown option, a number outside its range, an ablation of another preset, a batch of
            one sample or one larger than the queue, or images that are not square in the x-y plane.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = PCRLv1(RestorationUNet(ConvEncoder(2, widths=(4, 8))), queue_size=64)
    >>> batch = {name: torch.rand(2, 1, 16, 16) for name in ("view1", "view2", "target1", "target2")}
    >>> sorted(method.losses(batch))
    ['contrast', 'restore_hybrid', 'restore_momentum', 'restore_online']
    """

    def __init__(
        self,
        network: RestorationUNet,
        preset: str = "paper",
        *,
        attention: str = "gate",
        transformations: Sequence[str] = ("flip", "rotate"),
        restored: Sequence[str] = BRANCHES,
        rotation: bool = False,
        alpha: float = 1.0,
        momentum: float | None = None,
        temperature: float = 0.2,
        queue_size: int = 16384,
        queued: Sequence[str] = ("momentum",),
    ) -> None:
        super().__init__()
        check_choice(MOMENTUM, preset=preset)
        check_choice(("gate", "outer"), attention=attention)
        check_choices(("flip", "rotate"), transformations=transformations)
        check_choices(BRANCHES, restored=restored, queued=queued)
        ablated = set(restored) != set(BRANCHES) or tuple(queued) != ("momentum",) or rotation
        if preset != "paper" and ablated:
            raise ValueError(
                "`restored`, `queued` and `rotation` belong to `preset` 'paper': leave them as they are, or change it."
            )
        if not queued:
            raise ValueError("`queued` must name at least one branch, or the negatives would stay random vectors.")
        check_interval("(0, inf)", alpha=alpha, temperature=temperature)
        self.momentum = MOMENTUM[preset] if momentum is None else momentum
        check_interval("[0, 1]", momentum=self.momentum)
        self.preset, self.temperature = preset, temperature
        self.transformations, self.restored, self.queued = tuple(transformations), tuple(restored), tuple(queued)
        self.share = Beta(alpha, alpha, validate_args=False)
        self.sparse_gradients = not restored  # the decoder then trains nothing
        dims, width = network.spatial_dims, network.encoder.channels[-1]
        if dims == 2:
            init_heads(network.decoder)
        self.network = network
        self.projector = projector([width, DIM, DIM])
        self.turn_classifier = nn.Linear(width, TURNS) if rotation else None
        self.attention = _attention(attention, dims, width) if transformations else None
        self.momentum_branch = MomentumNetwork(self._online())
        self.queue = FeatureQueue(DIM, queue_size)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), "PCRLv1")
        steps = {"paper": self._paper_losses, "reference": self._reference_losses, "study": self._study_losses}
        return steps[self.preset](batch)

    def _paper_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features, vectors = {}, {}
        features["online"], vectors["online"] = self._embed(batch["view1"])
        features["momentum"], vectors["momentum"] = self._embed_momentum(batch["view2"])
        share = self._draw_share()
        features["hybrid"] = _mix(features["online"], features["momentum"], share)
        if "hybrid" in self.queued:
            vectors["hybrid"] = self._project_momentum(features["hybrid"])
        targets = {"online": batch["target1"], "momentum": batch["target2"]}
        targets["hybrid"] = share * targets["online"] + (1 - share) * targets["momentum"]
        terms = {"contrast": 0.5 * self._contrast(vectors["online"], vectors["momentum"])}
        for branch in self.restored:
            # decoded one after the other: in one batch they would share the statistics of batch norm
            orientation = self._draw_orientation(targets[branch])
            attended = self._attend(features[branch], orientation)
            terms[f"restore_{branch}"] = 0.5 * self._restoration(attended, orientation.apply(targets[branch]))
        if self.turn_classifier is not None:
            terms["rotation"] = 0.5 * self._rotation(batch["view1"], self.turn_classifier)
        self.queue.hold(*(vectors[branch] for branch in self.queued))
        return terms

    def _rotation(self, x: Tensor, classifier: nn.Module) -> Tensor:
        """Cross-entropy of the quarter turn of each image, from its pooled coarsest map."""
        turned = Orientation.draw(len(x), x.ndim - 2, flip=False)
        pooled = average(self.encoder(turned.apply(x))[-1])
        return F.cross_entropy(classifier(pooled).float(), turned.turns.to(x.device))

    def _reference_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' step: the whole once more on images mixed within the batch, and no momentum restoration.

        The hybrid encoder mixes maps that have been attended, each with its own transformation, and its target
        accordingly. All shares are folded to [0.5, 1]. Clean targets that fit the input, softmax InfoNCE, and keys that
        wait until the step is over are not of that code but what it means.
        """
        o, q = self._embed(batch["view1"])
        m, k = self._embed_momentum(batch["view2"])
        turn1, turn2 = (self._draw_orientation(batch["view1"]) for _ in range(2))
        o, m = self._attend(o, turn1), self._attend(m, turn2)
        target1, target2 = turn1.apply(batch["target1"]), turn2.apply(batch["target2"])

        within, order = self._draw_folded_share(), torch.randperm(len(q)).to(q.device)
        mixed = {key: _blend(batch[key], batch[key][order], within) for key in ("view1", "view2", "target1", "target2")}
        mixed_o, mixed_q = self._embed(mixed["view1"])
        mixed_m, mixed_k = self._embed_momentum(mixed["view2"])
        mix_of_k = _blend(k, k[order], within)  # before normalization: longer vectors weigh more

        pairs = ((q, k), (mixed_q, mixed_k), (mixed_q, mix_of_k))
        contrast = torch.stack([self._contrast(query, key) for query, key in pairs]).mean()
        self.queue.hold(k, mixed_k, mix_of_k)
        first, second = self._draw_folded_share(), self._draw_folded_share()
        hybrid, hybrid_target = _mix(o, m, first), _blend(target1, target2, first)
        mixed_hybrid = _mix(mixed_o, mixed_m, second)
        mixed_hybrid_target = _blend(mixed["target1"], mixed["target2"], second)
        return {
            "contrast": contrast,
            "restore_online": self._restoration(o, target1) / 4,
            "restore_hybrid": self._restoration(hybrid, hybrid_target) / 4,
            "restore_mixed": self._restoration(mixed_o, mixed["target1"]) / 4,
            "restore_mixed_hybrid": self._restoration(mixed_hybrid, mixed_hybrid_target) / 4,
        }

    def _study_losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The step of "Dive into SSL for Medical Image Analysis": means of two contrasts and of three restorations.

        The query meets its key and the vector of the mixed maps, and both are queued. The share is folded to [0.5, 1].
        """
        o, query = self._embed(batch["view1"])
        m, key = self._embed_momentum(batch["view2"])
        share = self._draw_folded_share()
        mixed_key = self._project_momentum(_mix(o, m, share))
        turn1, turn2 = (self._draw_orientation(batch["view1"]) for _ in range(2))
        o, m = self._attend(o, turn1), self._attend(m, turn2)
        target1, target2 = turn1.apply(batch["target1"]), turn2.apply(batch["target2"])
        targets = (target1, target2, _blend(target1, target2, share))
        maps = zip(BRANCHES, (o, m, _mix(o, m, share)), targets, strict=True)
        self.queue.hold(key, mixed_key)
        terms = {"contrast": (self._contrast(query, key) + self._contrast(query, mixed_key)) / 2}
        return terms | {f"restore_{branch}": self._restoration(x, target) / 3 for branch, x, target in maps}

    def after_step(self) -> None:
        self.momentum_branch.follow(self._online(), self.momentum)
        self.queue.release()

    def _online(self) -> ProjectedEncoder:
        """The encoder with its projector, the part that the momentum branch follows."""
        return ProjectedEncoder(self.encoder, self.projector)

    def _embed(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """F_o, fine to coarse, and the query (B, 128), of the coarsest map before the attention."""
        features = self.encoder(x)
        return features, self._online().project(features)

    @torch.no_grad()
    def _embed_momentum(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """F_m and the key, where batch norm may betray pairs from a batch that is dealt among the processes."""
        if not self.training or any(isinstance(m, nn.SyncBatchNorm) for m in self.momentum_branch.modules()):
            features = self.momentum_branch.network.encoder(x)
            return features, self._project_momentum(features)
        dealt, order = shuffle_batch(x, self.generator)
        features = self.momentum_branch.network.encoder(dealt)
        key = self._project_momentum(features)
        return [unshuffle_batch(f, order) for f in features], unshuffle_batch(key, order)

    @torch.no_grad()
    def _project_momentum(self, features: list[Tensor]) -> Tensor:
        branch: ProjectedEncoder = self.momentum_branch.network
        return branch.project(features)

    def _contrast(self, query: Tensor, key: Tensor) -> Tensor:
        """L_c, eq. 7, with the positive in the denominator, since the loss has no bound without."""
        return info_nce(query, key, self.queue.features, self.temperature)

    def _attend(self, features: list[Tensor], orientation: Orientation) -> list[Tensor]:
        """TransAtt on the coarsest map; skips pass as they are."""
        if self.attention is None:
            return features
        coarsest = features[-1]
        return [*features[:-1], self.attention(coarsest, orientation.vector(coarsest.device))]

    def _restoration(self, features: list[Tensor], target: Tensor) -> Tensor:
        return F.mse_loss(self.network.restore(features).float(), target)

    def _draw_share(self) -> float:
        """Lambda, one for an iteration."""
        return float(self.share.sample())

    def _draw_folded_share(self) -> float:
        share = self._draw_share()
        return max(share, 1 - share)

    def _draw_orientation(self, x: Tensor) -> Orientation:
        flip, rotate = ("flip" in self.transformations, "rotate" in self.transformations)
        return Orientation.draw(len(x), x.ndim - 2, flip=flip, rotate=rotate)

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return the restoration (B, C, *spatial) of ``x`` as it stands."""
        return {"restored": self._restored_in(Orientation.same(len(x), (False,) * (x.ndim - 2)), x)}

    def _restored_in(self, orientation: Orientation, x: Tensor) -> Tensor:
        return self.network.restore(self._attend(self.encoder(x), orientation))

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        x, target = batch["view1"], batch["target1"]
        images = {"input": x, "target": target, **self.restore(x)}
        if self.transformations:
            flip, turns = "flip" in self.transformations, int("rotate" in self.transformations)
            told = Orientation.same(len(x), (flip,) + (False,) * (x.ndim - 3), turns)
            images |= {"target, told T": told.apply(target), "restored, told T": self._restored_in(told, x)}
        return {name: image.detach() for name, image in images.items()}


def _attention(kind: str, spatial_dims: int, channels: int) -> nn.Module:
    parts = spatial_dims + TURNS
    return GateAttention(parts, channels) if kind == "gate" else OuterProductAttention(spatial_dims, parts, channels)


def _blend(a: Tensor, b: Tensor, share: float) -> Tensor:
    return share * a + (1 - share) * b


def _mix(features1: list[Tensor], features2: list[Tensor], share: float) -> list[Tensor]:
    """Cross-model mixup, eq. 6: all levels with the same share."""
    return [_blend(a, b, share) for a, b in zip(features1, features2, strict=True)]


__all__ = ["PCRLv1"]
