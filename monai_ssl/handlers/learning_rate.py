"""Learning rate scheduler: cosine, steps, warm-up, as a function of training progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ignite.engine import Events

from monai_ssl.schedules import Schedule, iteration_progress

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class LearningRate:
    r"""Set the learning rate of all optimizers before every iteration.

    With iterations :math:`i = 1 \dots I` the rate of iteration ``i`` is ``schedule((i - 1) / I)``; with
    ``per="epoch"`` that of epoch :math:`e = 1 \dots E` is ``schedule((e - 1) / E)``. It depends on nothing else, hence
    a resumed run needs no state. Groups of parameters that are marked ``"fixed_lr": True`` keep their rate;
    those with an ``"lr_scale"`` get that share of it, see :func:`monai_ssl.networks.with_layer_decay`.

    Args:
        schedule: learning rate at a progress in [0, 1], for all optimizers, or one schedule for each step name.
        per: change the rate every ``"iteration"`` or every ``"epoch"``.

    Raises:
        ValueError: for another ``per``, or when the names of the schedules and of the trainer's optimizers differ.

    >>> import torch
    >>> from ignite.engine import Engine
    >>> from monai_ssl.schedules import steps
    >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=9.0)
    >>> rates = []
    >>> engine = Engine(lambda engine, batch: rates.append(optimizer.param_groups[0]["lr"]))
    >>> engine.optimizers = {"losses": optimizer}
    >>> LearningRate(steps(1.0, 0.5, at=[0.5])).attach(engine)
    >>> _ = engine.run([0, 1], max_epochs=2)
    >>> rates
    [1.0, 1.0, 0.5, 0.5]
    """

    def __init__(
        self, schedule: Schedule | Mapping[str, Schedule], per: Literal["iteration", "epoch"] = "iteration"
    ) -> None:
        if per not in ("iteration", "epoch"):
            raise ValueError(f"`per` of `LearningRate` must be 'iteration' or 'epoch', got {per!r}.")
        self.schedule = schedule
        self.per = per

    def attach(self, engine: SSLTrainer) -> None:
        """Set the rates of ``engine.optimizers``, a dictionary by step name, at the start of every iteration."""
        if isinstance(self.schedule, Mapping) and set(self.schedule) != set(engine.optimizers):
            raise ValueError(
                f"`LearningRate` has schedules for {sorted(self.schedule)}, but the trainer has optimizers for "
                f"{sorted(engine.optimizers)}: give one schedule for each, or a single one for all."
            )
        engine.add_event_handler(Events.ITERATION_STARTED, self._set)

    def _set(self, engine: SSLTrainer) -> None:
        state: Any = engine.state
        progress = iteration_progress(state) if self.per == "iteration" else (state.epoch - 1) / state.max_epochs
        for step, optimizer in engine.optimizers.items():
            schedule = self.schedule[step] if isinstance(self.schedule, Mapping) else self.schedule
            rate = schedule(progress)
            for group in optimizer.param_groups:
                if not group.get("fixed_lr", False):
                    group["lr"] = rate * group.get("lr_scale", 1.0)


__all__ = ["LearningRate"]
