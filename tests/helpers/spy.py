"""A discriminator for tests."""

import torch
from torch import Tensor, nn


class Spy(nn.Module):
    """Remembers what it was shown, and answers what it is told."""

    def __init__(self, *answers: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.answers, self.seen = answers, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return self.gain * self.answers[len(self.seen) - 1] * torch.ones(len(x), 1, 2, 2) + 0 * x.mean()
