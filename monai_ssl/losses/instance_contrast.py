"""Instance discrimination with a memory bank: softmax over negatives, or NCE (Wu et al., CVPR 2018).

https://arxiv.org/abs/1805.01978; the softmax form is that of PyContrast and VISSL.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.losses.gather import exchanging, total
from monai_ssl.losses.memory_bank import MemoryBank

Objective = Literal["softmax", "nce"]


class InstanceContrast(nn.Module):
    r"""Find the bank's entry of an image among entries of other samples, m of them.

    ``"softmax"``: :math:`-\log\frac{\exp(f v_i / \tau)}{\exp(f v_i / \tau) + \sum_n \exp(f v_n / \tau)}`.
    ``"nce"``: :math:`-\log h(i) - \sum_n \log(1 - h(n))` with :math:`h = p / (p + m / N)` and
    :math:`p = \exp(f v / \tau) / Z`, where Z is estimated from the first batch and stays.

    The published code draws negatives from all entries, the own one included: for m = 65,536 and 3,200 samples the
    positive is its own negative 20 times, and no loss below log 21 can be reached. Here a sample is never its own
    negative; m is at most N - 1, and then all others are taken instead of drawn.

    Args:
        samples: N, the length of the data set.
        dim: of a vector.
        negatives: m.
        momentum: of the bank.
        temperature: :math:`\tau`, positive.
        objective: ``"softmax"`` or ``"nce"``.

    Raises:
        ValueError: for a number outside its range, another objective, or fewer than two samples.
    """

    log_z: Tensor
    estimated: Tensor

    def __init__(
        self,
        samples: int,
        dim: int = 128,
        *,
        negatives: int = 4096,
        momentum: float = 0.5,
        temperature: float = 0.07,
        objective: Objective = "softmax",
    ) -> None:
        super().__init__()
        check_choice(("softmax", "nce"), objective=objective)
        check_interval("(0, inf)", temperature=temperature)
        check_interval("[1, inf)", negatives=negatives)
        if samples < 2:
            raise ValueError(f"Instances are told apart from each other: {samples} sample has no negative.")
        self.bank = MemoryBank(samples, dim, momentum)
        self.negatives = min(negatives, samples - 1)
        self.temperature, self.objective = temperature, objective
        # the normalization Z of NCE, estimated by the first step
        self.register_buffer("log_z", torch.zeros(()))
        self.register_buffer("estimated", torch.tensor(False))
        self.estimate: Tensor | None = None

    @property
    def chance(self) -> float:
        """The loss when all similarities are equal."""
        if self.objective == "softmax":
            return math.log1p(self.negatives)
        noise = self.negatives / len(self.bank)
        p = 1 / len(self.bank)
        return math.log1p(noise / p) + self.negatives * math.log1p(p / noise)

    def forward(self, vectors: Tensor, positives: Tensor, index: Tensor) -> Tensor:
        """Return the mean loss of ``vectors`` (B, D) whose samples are ``index`` (B,), given their positives (B, D)."""
        with torch.autocast(vectors.device.type, enabled=False):
            f, v = F.normalize(vectors.float(), dim=1), F.normalize(positives.detach().float(), dim=1)
            # all similarities, of which some are picked: cheaper than copying m vectors for each sample
            others = (f @ self.bank.features.T).gather(1, self._others(index))
            logits = torch.cat([(f * v).sum(1, keepdim=True), others], dim=1) / self.temperature
            return self._nce(logits) if self.objective == "nce" else -logits.log_softmax(1)[:, 0].mean()

    def positives(self, index: Tensor, present: Callable[[], Tensor]) -> Tensor:
        """Return the entries (B, D) of before this step; validation samples, which have none, get ``present``."""
        return self.bank.features[index] if self.training else present().detach()

    def release(self) -> None:
        """Update bank and normalization, after the optimizer step."""
        self.bank.release()
        if self.estimate is not None:
            self.log_z.copy_(self.estimate)
            self.estimated.fill_(True)
            self.estimate = None

    def _others(self, index: Tensor) -> Tensor:
        """Rows (B, m) of the bank, never the own one."""
        count, rest = self.negatives, len(self.bank) - 1
        if count == rest:
            drawn = torch.arange(rest, device=index.device).expand(len(index), rest)
        else:
            drawn = torch.randint(rest, (len(index), count), device=index.device)
        return drawn + (drawn >= index[:, None])

    def _nce(self, logits: Tensor) -> Tensor:
        log_p = logits - self._log_z(logits.detach())
        over_noise = log_p - math.log(self.negatives / len(self.bank))
        return (F.softplus(-over_noise[:, 0]) + F.softplus(over_noise[:, 1:]).sum(1)).mean()

    def _log_z(self, logits: Tensor) -> Tensor:
        sums = torch.stack([logits.exp().sum(), logits.new_tensor(logits.numel())])
        if exchanging():
            sums = total(sums)
        log_z = torch.where(self.estimated, self.log_z, (sums[0] / sums[1]).log() + math.log(len(self.bank)))
        if self.training:
            self.estimate = log_z
        return log_z


__all__ = ["InstanceContrast"]
