"""Weight decay scheduler, as a function of training progress (DINO: Caron et al., ICCV 2021, appendix)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ignite.engine import Events

from monai_ssl.schedules import Schedule, iteration_progress

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class WeightDecay:
    """Set the weight decay of all optimizers before every iteration, as a function of progress alone.

    Groups of parameters that are marked ``"fixed_weight_decay": True``, such as biases and norms, keep theirs.

    Args:
        schedule: weight decay at a progress in [0, 1].

    >>> import torch
    >>> from ignite.engine import Engine
    >>> from monai_ssl.schedules import linear
    >>> optimizer = torch.optim.AdamW([torch.zeros(1)])
    >>> decays = []
    >>> engine = Engine(lambda engine, batch: decays.append(optimizer.param_groups[0]["weight_decay"]))
    >>> engine.optimizers = {"losses": optimizer}
    >>> WeightDecay(linear(0.0, 0.5)).attach(engine)
    >>> _ = engine.run([0, 1], max_epochs=2)
    >>> decays
    [0.0, 0.125, 0.25, 0.375]
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def attach(self, engine: SSLTrainer) -> None:
        """Set the weight decay of ``engine.optimizers``, a dictionary by step name, at the start of every iteration."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def _set(self, engine: SSLTrainer) -> None:
        decay = self.schedule(iteration_progress(engine.state))
        for optimizer in engine.optimizers.values():
            for group in optimizer.param_groups:
                if not group.get("fixed_weight_decay", False):
                    group["weight_decay"] = decay


__all__ = ["WeightDecay"]
