"""SMIT: masked image prediction, and distillation of masked tokens and of views from a momentum teacher.

Jiang, Tyagi, Tringale, Crane, Veeraraghavan, "Self-supervised 3D Anatomy Segmentation Using Self-distilled Masked Image
Transformer (SMIT)", MICCAI 2022, https://arxiv.org/abs/2205.10342.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from monai_ssl.arguments import check_choice, check_interval, check_range, check_weights
from monai_ssl.losses import explained, gather_keys, masked_error, masked_mean
from monai_ssl.methods.base import Method
from monai_ssl.networks import CosineHead, Encoder, MomentumNetwork, join_patches, mask_token, mask_tokens, masked_cells
from monai_ssl.schedules import cosine, linear

TERMS = ("restoration", "token_distillation", "view_distillation")
VIEWS = ("1", "2")


class SMIT(Method):
    r"""Restore masked blocks of two views, and answer as a teacher does who sees all of both.

    The student sees masked views :math:`\tilde u, \tilde v`, the teacher, its moving average (EMA), whole ones. Both
    give each cell of a feature map, and the average of all cells, K logits. With the cross-entropy :math:`H` of
    :math:`\mathrm{softmax}((t - c) / \tau_t)` of the teacher and :math:`\mathrm{softmax}(s / \tau_s)` of the student,
    :math:`L = \lambda_1 L_\mathrm{MIP} + \lambda_2 L_\mathrm{MPD} + \lambda_3 L_\mathrm{ITD}`: the mean absolute error
    of masked voxels, restored by one linear layer from the coarsest map; the mean :math:`H` of masked cells in one
    view; and that of whole views, each from the other one, :math:`(H(t_u, s_v) + H(t_v, s_u)) / 2`. The centers c are
    moving averages of the teacher's logits, so that no answer is given to all.

    Args:
        encoder: to pre-train, with an embedding of patches.
        embedding: name of the encoder's module that makes tokens (B, width, *grid) of an image: ``"embedding"`` of a
            :class:`monai_ssl.networks.VisionTransformer`, ``"net.swinViT.patch_embed"`` of MONAI's SwinUNETR.
        stride: of the map whose cells are distilled, the side of a masked block or a divisor of it.
        prototypes: K.
        hidden: width of the two hidden layers of each head.
        dim: of the unit vectors that are compared with prototypes.
        temperature: :math:`\tau_s`, positive.
        teacher_temperatures: :math:`\tau_t` at the start, and at the end of the ``warm_up``.
        warm_up: fraction of training in which :math:`\tau_t` rises, positive.
        momentum: of the teacher at the start, in [0, 1]; a cosine brings it to 1 at the end of training.
        center_momentum: of the centers, in [0, 1].
        frozen: fraction of training in which the prototypes stay as they are.
        weights: :math:`\lambda_1, \lambda_2, \lambda_3`.

    Batch:

    ========================== ================= ====================================================
    key                        shape             content
    ========================== ================= ====================================================
    ``view1``, ``view2``       (B, C, \*spatial) two windows of a scan
    ``visible1``, ``visible2`` (B, 1, \*spatial) 1 where the student may see them, 0 where masked
    ========================== ================= ====================================================

    Raises:
        ValueError: for an encoder without such a module or map, or numbers out of range.

    >>> from monai_ssl.networks import VisionTransformer
    >>> encoder = VisionTransformer(2, window_size=(16, 16), width=8, depth=1, heads=2)
    >>> method = SMIT(encoder, embedding="embedding", stride=8, prototypes=7, hidden=8, dim=4)
    >>> x, visible = torch.rand(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.3)
    >>> sorted(method.losses({"view1": x, "view2": x, "visible1": visible, "visible2": visible}))
    ['restoration', 'token_distillation', 'view_distillation']
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        embedding: str = "net.swinViT.patch_embed",
        stride: int = 16,
        prototypes: int = 8192,
        hidden: int = 2048,
        dim: int = 256,
        temperature: float = 0.1,
        teacher_temperatures: Sequence[float] = (0.04, 0.07),
        warm_up: float = 0.06,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        frozen: float = 0.002,
        weights: Sequence[float] = (1.0, 0.1, 0.1),
    ) -> None:
        super().__init__()
        check_choice(encoder.strides, stride=stride)
        check_interval("(0, inf)", temperature=temperature, warm_up=warm_up)
        check_interval("[0, 1]", momentum=momentum, center_momentum=center_momentum)
        check_interval("[0, inf)", frozen=frozen)
        first, last = check_range("teacher_temperatures", teacher_temperatures, "(0, inf)")
        self.network = TokenClassifier(encoder, stride, prototypes, hidden, dim)
        self.embedding, self.token = embedding, mask_token(encoder, embedding)
        voxels = encoder.in_channels * encoder.strides[-1] ** encoder.spatial_dims
        self.restorer = nn.Linear(encoder.channels[-1], voxels)
        nn.init.trunc_normal_(self.restorer.weight, std=0.02)
        nn.init.zeros_(self.restorer.bias)
        self.teacher = MomentumNetwork(self.network)
        self.token_center = Center(prototypes, center_momentum)
        self.view_center = Center(prototypes, center_momentum)
        self.temperature, self.warm_up, self.rise = temperature, warm_up, linear(first, last)
        self.momentum, self.frozen = cosine(momentum, 1.0), frozen
        # the prototypes get no gradient at first
        self.sparse_gradients = frozen > 0
        self.weights = check_weights(weights, TERMS)
        self.train()

    def train(self, mode: bool = True) -> SMIT:
        """Set the mode of the student; the teacher stays in evaluation mode, where nothing is dropped."""
        super().train(mode)
        self.teacher.eval()
        return self

    @property
    def chance(self) -> dict[str, float]:
        """What distillation costs when all answers are equally likely."""
        return {
            name: w * math.log(len(self.token_center.mean)) for name, w in zip(TERMS[1:], self.weights[1:], strict=True)
        }

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        view, visible = (torch.cat([batch[key + i] for i in VIEWS]) for key in ("view", "visible"))
        maps = self._masked_maps(view, visible)
        tokens, views = self.network.logits(maps, frozen=self.progress < self.frozen)
        token_targets, view_targets = self._targets(view)
        of_tokens = masked_mean(cross_entropy(token_targets, tokens / self.temperature), self._masked(maps, visible))
        others = view_targets.roll(len(view) // 2, 0)
        of_views = cross_entropy(others, views / self.temperature)
        terms = (masked_error(self._restored(maps), view, visible, "l1"), of_tokens.mean(), of_views.mean())
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _masked_maps(self, view: Tensor, visible: Tensor) -> list[Tensor]:
        """The student's maps of images of which it sees what is visible."""
        with mask_tokens(self.encoder, self.embedding, self.token, visible):
            maps: list[Tensor] = self.encoder(torch.where(visible > 0, view, 0.0))
        return maps

    def _targets(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's probabilities of cells (B, N, K) and of images (B, K)."""
        temperature = self.rise(self.progress / self.warm_up)
        targets = []
        for center, logits in zip((self.token_center, self.view_center), self.teacher(view), strict=True):
            center.hold(logits)
            targets.append(((logits - center.mean) / temperature).softmax(-1))
        return targets[0], targets[1]

    def _masked(self, maps: Sequence[Tensor], visible: Tensor) -> Tensor:
        """Which cells (B, N) that are distilled have a masked voxel."""
        return masked_cells(visible, maps[self.network.level].shape[2:]).flatten(1)

    def _restored(self, maps: Sequence[Tensor]) -> Tensor:
        """The images (B, C, *spatial) that a linear layer makes of each cell of the coarsest map."""
        voxels = self.restorer(maps[-1].flatten(2).transpose(1, 2))
        return join_patches(voxels, maps[-1].shape[2:], self.encoder.strides[-1])

    def after_step(self) -> None:
        self.teacher.follow(self.network, self.momentum(self.progress))
        self.teacher.copy(self.network, buffers_only=True)
        self.token_center.release()
        self.view_center.release()

    def after_start(self) -> None:
        self.teacher.copy(self.network)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what shows learning and collapse.

        The share of what is masked that is ``explained`` (0 for the mean of the visible voxels, 1 at best), that of
        masked cells whose likeliest prototype ``agrees`` with the teacher's, and how many prototypes are ``used``, the
        exponential of the entropy of the teacher's average answer: 1 or K when it gives all cells the same.
        """
        view, visible = batch["view1"], batch["visible1"]
        maps = self._masked_maps(view, visible)
        targets = self._targets(view)[0]
        right = (self.network.logits(maps)[0].argmax(2) == targets.argmax(2)).float()
        share = targets.mean((0, 1))
        return {
            "explained": explained(self._restored(maps), view, visible),
            "agrees": masked_mean(right, self._masked(maps, visible)).mean(),
            "used": torch.special.entr(share).sum().exp(),
        }

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        view, visible = batch["view1"], batch["visible1"]
        restored = self._restored(self._masked_maps(view, visible)).detach().to(view.dtype)
        seen = visible > 0
        merged = torch.where(seen, view, restored)
        return {"input": torch.where(seen, view, 0.0), "target": view, "restored": restored, "merged": merged}


class TokenClassifier(nn.Module):
    """An encoder, and heads that compare the cells of one of its maps, and their average, with prototypes.

    Args:
        encoder: whose map of ``stride`` is taken.
        stride: one of the encoder's.
        prototypes: K, of each head.
        hidden: width of the hidden layers.
        dim: of the unit vectors.

    Shapes:
        images (B, C, *spatial) -> logits of cells (B, N, K) and of images (B, K).
    """

    def __init__(self, encoder: Encoder, stride: int, prototypes: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.encoder, self.level = encoder, encoder.strides.index(stride)
        width = encoder.channels[self.level]
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.token_head, self.view_head = (CosineHead(width, hidden, dim, prototypes) for _ in range(2))

    def logits(self, maps: Sequence[Tensor], *, frozen: bool = False) -> tuple[Tensor, Tensor]:
        """Return logits of the cells and of the images of an encoder's maps; ``frozen`` prototypes get no gradient."""
        cells = self.norm(maps[self.level].flatten(2).transpose(1, 2))
        return self.token_head(cells, frozen), self.view_head(cells.mean(1), frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(self.encoder(x))


class Center(nn.Module):
    """Moving average of a teacher's logits (DINO, eq. 4); what a step adds waits for :meth:`release`.

    Args:
        count: of logits.
        momentum: in [0, 1].
    """

    mean: Tensor

    def __init__(self, count: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(count))
        self.held: list[Tensor] = []

    def hold(self, logits: Tensor) -> None:
        """Keep the mean of ``logits`` (..., count) until :meth:`release`; in training only."""
        if self.training:
            self.held.append(logits.detach().flatten(0, -2).mean(0, keepdim=True))

    @torch.no_grad()
    def release(self) -> None:
        """Move towards the mean of what was held, in all processes; several batches under gradient accumulation."""
        if self.held:
            self.mean.lerp_(gather_keys(torch.cat(self.held)).mean(0), 1 - self.momentum)
        self.held.clear()


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Return :math:`-\\sum_k q_k \\log p_k` (...) of probabilities q and logits of p (..., K), in float32."""
    with torch.autocast(logits.device.type, enabled=False):
        return -(target * logits.log_softmax(-1)).sum(-1)


__all__ = ["SMIT"]
