"""Warn of parameters that require gradients and do not change (frozen by mistake)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ignite.engine import Events
from torch import Tensor, nn

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look
from monai_ssl.transfer.shards import own_part

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_NAMED = 4


class FrozenParts(Diagnostic):
    """Name modules that want a gradient and whose parameters are all what they were so many iterations ago.

    The optimizer may not hold them, no loss may reach them, or the learning rate is 0, which is said instead. Two sums
    stand for each parameter, so this costs no memory. Of sharded ones the part of the first process stands for all.

    Args:
        after: iterations to wait after the start or continuation of a run.

    Raises:
        ValueError: when ``after`` is below 1.
    """

    def __init__(self, after: int = 200) -> None:
        if after < 1:
            raise ValueError(f"`after` of `FrozenParts` is a number of iterations of at least 1, got {after}.")
        self.after = after
        self._passed = 0
        self._before: dict[str, Tensor] = {}
        self._rates: set[float] = set()

    def looks(self) -> dict[Events, Look]:
        return {
            Events.STARTED: self._begin,
            Events.ITERATION_STARTED: self._remember,
            Events.ITERATION_COMPLETED: self._check,
        }

    def _begin(self, engine: SSLTrainer) -> None:
        self._passed = 0

    def _remember(self, engine: SSLTrainer) -> None:
        # not when the run starts: a checkpoint may be loaded then
        if self._passed == 0:
            self._before, self._rates = _sums(engine.method), set()

    def _check(self, engine: SSLTrainer) -> str | None:
        self._passed += 1
        if self._passed > self.after:
            return None
        groups = (group for optimizer in engine.optimizers.values() for group in optimizer.param_groups)
        self._rates |= {float(group["lr"]) for group in groups}
        if self._passed < self.after:
            return None
        if self._rates == {0.0}:
            return f"The learning rate was 0 in all of {self.after} iterations: nothing is trained. Set `lr`."
        frozen = [name for name, sums in _sums(engine.method).items() if torch.equal(sums, self._before[name])]
        return self._message(engine, frozen) if frozen else None

    def _message(self, engine: SSLTrainer, frozen: list[str]) -> str:
        held = {id(p) for o in engine.optimizers.values() for group in o.param_groups for p in group["params"]}
        modules = dict(engine.method.named_modules())

        def named(name: str) -> str:
            own = (p for p in modules[name].parameters(recurse=False) if p.requires_grad)
            why = "no loss reaches it" if all(id(p) in held for p in own) else "the optimizer does not hold it"
            return f"`{name}` ({why})"

        parts = ", ".join(map(named, frozen[:_NAMED])) + (", ..." if len(frozen) > _NAMED else "")
        return (
            f"{len(frozen)} part(s) of the network that should be trained did not change in {self.after} iterations: "
            f"{parts}. Give `optimizer` all parameters, or set `requires_grad` to false where a part is to stay as it "
            "is."
        )


def _sums(method: nn.Module) -> dict[str, Tensor]:
    """Return for each module with trained parameters of its own the sums and the sums of squares of them."""
    sums = {}
    for name, module in method.named_modules():
        # by module: a bias before batch norm may stand still in good health
        own = [own_part(p.detach()).double() for p in module.parameters(recurse=False) if p.requires_grad]
        if own:
            sums[name] = torch.stack([s for p in own for s in (p.sum(), p.square().sum())])
    return sums


__all__ = ["FrozenParts"]
