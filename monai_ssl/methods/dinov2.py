"""DINOv2: a student predicts what its moving average makes of other views and of tokens that the student cannot see.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024,
https://arxiv.org/abs/2304.07193, after DINO (Caron et al., ICCV 2021, https://arxiv.org/abs/2104.14294) and iBOT (Zhou
et al., ICLR 2022, https://arxiv.org/abs/2111.07832). In 3-D as in 3DINO: Xu et al., "A generalizable 3D framework and
model for self-supervised learning in medical imaging", 2025, https://arxiv.org/abs/2501.11755.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_choice, check_interval, check_weights
from monai_ssl.losses import koleo, masked_mean, sinkhorn
from monai_ssl.methods.base import Method
from monai_ssl.networks import Answers, Encoder, HeadedTransformer, MomentumNetwork, VisionTransformer
from monai_ssl.schedules import cosine, linear

TERMS = ("dino", "ibot", "koleo")
KEPT = ("student", "teacher")


class DINOv2(Method):
    r"""Cross-entropy with a teacher's assignments, of views and of hidden tokens, and vectors that spread evenly.

    With p of the student at temperature :math:`\tau`, and q of the teacher, shared equally among the prototypes of a
    head (Sinkhorn at the teacher's temperature, over all processes):

    - ``dino``: the mean of :math:`-\sum_k q_{uk} \log p_{vk}` over pairs of a large view u and another view
      :math:`v \ne u`, large or small;
    - ``ibot``: the same of the tokens that are hidden from the student, with the teacher's of that token; the mean over
      those of a sample, then over samples;
    - ``koleo``: :math:`-\frac1B \sum_i \log \min_j \|z_i - z_j\|` of the unit vectors z of either large view, summed.

    The teacher, a moving average (EMA) of the student, sees large views only, whole ones. The vector of an image is the
    average of its tokens, as everywhere in this package; there is no class token.

    Args:
        encoder: to pre-train, a :class:`monai_ssl.networks.VisionTransformer`.
        prototypes: K of either head.
        hidden: width of the hidden layers of a head.
        dim: of the vectors that are compared with prototypes.
        temperature: :math:`\tau`, positive.
        teacher_temperatures: at the start, and after ``warm_up``; it rises linearly.
        warm_up: fraction of training, in (0, 1].
        iterations: of the Sinkhorn algorithm.
        momentum: of the teacher at the start, in [0, 1]; it rises to 1 by a cosine over the whole run.
        frozen: fraction of training in which the prototypes stay as they are, weight decay and momentum included.
        weights: of the three terms.
        kept: the encoder that is exported, monitored and probed, ``"student"`` or ``"teacher"`` (the paper). The state
            holds both, as ``network.encoder`` and ``teacher.network.encoder``.

    Batch:

    ==================== ==================== ==================================================================
    key                  shape                content
    ==================== ==================== ==================================================================
    ``view1``, ``view2`` (B, C, \*large)      two large crops, of N tokens each
    ``locals``           (B * L, C, \*small)  L small crops a sample, sample-major; may be absent
    ``masked``           (B, M)               numbers of tokens to hide: from 0 in ``view1``, from N in ``view2``;
                                              -1 for none
    ==================== ==================== ==================================================================

    Raises:
        ValueError: for another encoder, a number outside its range, another ``kept``, or a batch of one sample.

    >>> encoder = VisionTransformer(2, window_size=(16, 16), width=8, depth=1, heads=2)
    >>> method = DINOv2(encoder, prototypes=7, hidden=8, dim=4, temperature=1e6)
    >>> x = torch.rand(2, 1, 16, 16)
    >>> terms = method.losses({"view1": x, "view2": x.flip(2), "masked": torch.tensor([[0, 3], [6, -1]])})
    >>> (terms["dino"].exp(), terms["ibot"].exp())  # so hot that all prototypes are alike
    (tensor(7.0000, grad_fn=<ExpBackward0>), tensor(7.0000, grad_fn=<ExpBackward0>))
    """

    def __init__(
        self,
        encoder: Encoder,
        prototypes: int = 65536,
        *,
        hidden: int = 2048,
        dim: int = 256,
        temperature: float = 0.1,
        teacher_temperatures: Sequence[float] = (0.04, 0.07),
        warm_up: float = 0.3,
        iterations: int = 3,
        momentum: float = 0.992,
        frozen: float = 0.0,
        weights: Sequence[float] = (1.0, 1.0, 0.1),
        kept: str = "teacher",
    ) -> None:
        super().__init__()
        if not isinstance(encoder, VisionTransformer):
            raise ValueError(
                f"DINOv2 hides tokens, and {type(encoder).__name__} has none: take "
                "`monai_ssl.networks.VisionTransformer`, or the method `swav` in place of `dinov2`."
            )
        check_interval("(0, inf)", temperature=temperature, teacher_temperatures=teacher_temperatures)
        check_interval("(0, 1]", warm_up=warm_up)
        check_interval("[0, 1]", momentum=momentum, frozen=frozen)
        check_interval("[1, inf)", iterations=iterations, prototypes=prototypes)
        check_choice(KEPT, kept=kept)
        self.network = HeadedTransformer(encoder, hidden, dim, prototypes)
        self.teacher = MomentumNetwork(self.network)
        self.temperature, self.iterations = temperature, iterations
        self.teacher_temperature, self.warm_up = linear(*teacher_temperatures), warm_up
        self.momentum = cosine(momentum, 1.0)
        self.frozen, self.kept = frozen, kept
        self.weights = check_weights(weights, TERMS)
        # the prototypes get no gradient at first
        self.sparse_gradients = frozen > 0
        self.train()

    def train(self, mode: bool = True) -> DINOv2:
        """Set the mode of the student; the teacher stays in evaluation mode, in which no block is skipped."""
        super().train(mode)
        self.teacher.eval()
        return self

    @property
    def encoder(self) -> VisionTransformer:
        return (self.network if self.kept == "student" else self.teacher.network).encoder

    @property
    def chance(self) -> dict[str, float]:
        uniform = math.log(self.network.image_head.prototypes.out_features)
        return {"dino": self.weights[0] * uniform, "ibot": self.weights[1] * uniform}

    def parameter_groups(self, step: str = "losses") -> list[dict[str, Any]]:
        """Return what decays, and biases, norms and scales, which do not; the embedding learns at 0.2 of the rate."""
        del step
        embedding = [id(p) for p in self.network.encoder.embedding.parameters()]
        groups = []
        for slow in (False, True):
            own = [p for p in self.network.parameters() if (id(p) in embedding) == slow]
            scale = {"lr_scale": 0.2} if slow else {}
            groups.append({"params": [p for p in own if p.ndim > 1], **scale})
            still = {"weight_decay": 0.0, "fixed_weight_decay": True}
            groups.append({"params": [p for p in own if p.ndim <= 1], **still, **scale})
        return groups

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), type(self).__name__)
        x, masked = torch.cat([batch["view1"], batch["view2"]]), batch["masked"]
        hidden = hidden_tokens(masked, 2 * self._count(x))
        asked, frozen = masked.clamp_min(0), self.progress < self.frozen

        teacher: Answers = self.teacher(x, torch.zeros_like(hidden), asked)
        q_images = self._assigned(teacher.images).unflatten(0, (2, -1))
        unasked = (masked < 0).unsqueeze(2)
        q_tokens = self._assigned(teacher.tokens.masked_fill(unasked, -math.inf).flatten(0, 1)).view_as(teacher.tokens)

        student = self.network(x, hidden, asked, frozen)
        images = student.images
        if "locals" in batch:
            small = self.network.image_head(self.network.encoder.pooled(batch["locals"]), frozen)
            # sample-major to crop-major
            images = torch.cat([images, small.unflatten(0, (len(masked), -1)).transpose(0, 1).flatten(0, 1)])
        terms = (
            image_loss(q_images, self._log_p(images).unflatten(0, (-1, len(masked)))),
            token_loss(q_tokens, self._log_p(student.tokens), masked >= 0),
            torch.stack([koleo(vectors) for vectors in student.vectors.chunk(2)]).sum(),
        )
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _count(self, x: Tensor) -> int:
        """Return how many tokens an image has."""
        return math.prod(side // self.network.encoder.strides[0] for side in x.shape[2:])

    def _log_p(self, cosines: Tensor) -> Tensor:
        return (cosines / self.temperature).log_softmax(-1)

    def _assigned(self, cosines: Tensor) -> Tensor:
        # here and not in the teacher's pass, which has no gradients: without them processes exchange nothing
        return sinkhorn(cosines, self.teacher_temperature(self.progress / self.warm_up), self.iterations)

    def after_step(self) -> None:
        self.teacher.follow(self.network, self.momentum(self.progress))

    def after_start(self) -> None:
        self.teacher.copy(self.network)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return how many prototypes the teacher gives an image, and how often a view finds the other of its scan.

        ``perplexity`` is K when the teacher has collapsed; ``found``, among all of the batch by the teacher's vectors,
        1 / B by chance.
        """
        x = torch.cat([batch["view1"], batch["view2"]])
        nothing = torch.zeros(len(batch["view1"]), 2 * self._count(x), dtype=torch.bool, device=x.device)
        teacher: Answers = self.teacher(x, nothing, batch["masked"].clamp_min(0))
        q = self._assigned(teacher.images)
        z1, z2 = F.normalize(teacher.vectors.float(), dim=1).chunk(2)
        nearest = (z1 @ z2.T).argmax(1)
        found = (nearest == torch.arange(len(z1), device=x.device)).float().mean()
        return {"perplexity": torch.special.entr(q).sum(1).mean().exp(), "found": found}


def image_loss(q: Tensor, log_p: Tensor) -> Tensor:
    """Return the mean cross-entropy over pairs of a large view (q: (2, B, K)) and another (log_p: (V, B, K)).

    The large views come first among the V; none is compared with itself.
    """
    # of each view all others are asked at once: cross-entropy is linear in q
    of_others = torch.cat([q.flip(0), q.sum(0, keepdim=True).expand(len(log_p) - 2, -1, -1)])
    return -(of_others * log_p).sum(2).mean(1).sum() / (2 * (len(log_p) - 1))


def token_loss(q: Tensor, log_p: Tensor, asked: Tensor) -> Tensor:
    """Return the mean cross-entropy (B, M, K) over the tokens of a sample that were ``asked``, then over samples."""
    return masked_mean(-(q * log_p).sum(2), asked).mean()


def hidden_tokens(masked: Tensor, count: int) -> Tensor:
    """Return whether a token is hidden, (B, count), given the numbers (B, M) of those that are, and -1.

    >>> hidden_tokens(torch.tensor([[0, 3], [2, -1]]), 4).int()
    tensor([[1, 0, 0, 1],
            [0, 0, 1, 0]], dtype=torch.int32)
    """
    # what is no number goes to a place behind the last one
    places = torch.where(masked < 0, count, masked)
    hidden = torch.zeros(len(masked), count + 1, dtype=torch.bool, device=masked.device)
    return hidden.scatter(1, places, True)[:, :count]


__all__ = ["DINOv2"]
