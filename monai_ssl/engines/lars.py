"""LARS optimizer: layer-wise adaptive rate scaling, for large-batch training.

You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017. https://arxiv.org/abs/1708.03888
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from monai_ssl.arguments import check_interval


class LARS(Optimizer):
    r"""LARS: SGD with momentum whose step of a weight is in proportion to the norm of the weight.

    Eq. 6: the rate of a layer is :math:`\gamma \eta \|w\| / (\|g\| + \beta \|w\|)` with the global rate :math:`\gamma`,
    the trust coefficient :math:`\eta` and the weight decay :math:`\beta`; 1 in place of the quotient where :math:`w`
    or :math:`g` is zero. Biases and the parameters of norms, known by having one axis or none, take plain steps
    without weight decay. The rate stands outside of the momentum, as in PyTorch's SGD.

    Args:
        params: parameters or groups of them.
        lr: the global learning rate.
        momentum: in [0, 1).
        weight_decay: of weights.
        trust_coefficient: :math:`\eta`.
        vector_scale: factor on the rate of biases and norms, 0.024 in Barlow Twins.

    Raises:
        ValueError: for a number outside its range.

    >>> w = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    >>> w.grad = torch.tensor([[0.0, 7.0]])
    >>> LARS([w], lr=1.0, trust_coefficient=0.1).step()  # by 0.1 of the length of w, whatever the gradient's
    >>> w.data
    tensor([[3.0000, 3.5000]])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        *,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        vector_scale: float = 1.0,
    ) -> None:
        numbers = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "vector_scale": vector_scale,
        }
        check_interval("[0, inf)", **numbers)
        check_interval("[0, 1)", momentum=momentum)
        super().__init__(params, numbers)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; parameters without a gradient stay as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: Tensor, group: dict[str, Any]) -> None:
        vector = p.ndim < 2
        update = p.grad if vector else _adapted(p, group["weight_decay"], group["trust_coefficient"])
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(update)
        p.add_(velocity, alpha=-group["lr"] * (group["vector_scale"] if vector else 1.0))


def _adapted(p: Tensor, weight_decay: float, trust: float) -> Tensor:
    """The decayed gradient at the length that eq. 6 gives it."""
    assert p.grad is not None
    length, slope = p.norm(), p.grad.norm()
    # stays on the device: asking for the numbers would wait for them
    rate = torch.where((length > 0) & (slope > 0), trust * length / (slope + weight_decay * length), 1.0)
    return rate * (p.grad + weight_decay * p)
