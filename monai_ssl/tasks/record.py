"""MLflow record of fine-tuning with MONAI's SupervisedTrainer."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import Tensor

from monai_ssl.handlers.failure import at_failure


class Recorder(Protocol):
    """What :class:`monai_ssl.handlers.Tracking` is: something that records an engine."""

    def attach(self, engine: Engine) -> None: ...


class SupervisedRecord:
    """Show a recorder what it expects of an engine while MONAI's ``SupervisedTrainer`` runs.

    MONAI decollates its output, has one optimizer, and keeps validation metrics in another engine. The recorder
    follows a second engine that repeats the events of the trainer with the loss, the optimizers and all metrics, each
    of which is set there when it was computed.

    Args:
        recorder: e.g. :class:`monai_ssl.handlers.Tracking`.
        validator: its metrics are recorded after each of its runs.
    """

    def __init__(self, recorder: Recorder, validator: Engine) -> None:
        self.recorder = recorder
        self.validator = validator

    def attach(self, engine: SupervisedTrainer) -> None:
        relay = Engine(lambda *_: None)
        self.validator.add_event_handler(Events.COMPLETED, _hand_metrics, relay)
        engine.add_event_handler(Events.EPOCH_COMPLETED, _hand_metrics, relay)
        self.recorder.attach(relay)
        for event in (Events.STARTED, Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            engine.add_event_handler(event, _repeat, relay, event)
        engine.add_event_handler(Events.TERMINATE, _repeat, relay, Events.TERMINATE)
        at_failure(engine, partial(_fail, engine, relay))


def _hand_metrics(engine: Engine, relay: Engine) -> None:
    relay.state.metrics.update(engine.state.metrics)


def _repeat(engine: SupervisedTrainer, relay: Engine, event: Events) -> None:
    _copy_state(engine, relay)
    relay.fire_event(event)


def _fail(engine: SupervisedTrainer, relay: Engine, error: BaseException) -> None:
    _copy_state(engine, relay)
    # the public fire_event cannot pass the error on
    relay._fire_event(Events.EXCEPTION_RAISED, error)


def _copy_state(engine: SupervisedTrainer, relay: Engine) -> None:
    relay.optimizers = {"network": engine.optimizer}  # type: ignore[attr-defined]
    for name in ("iteration", "epoch", "epoch_length", "max_epochs"):
        setattr(relay.state, name, getattr(engine.state, name))
    relay.state.output = _loss(engine.state.output)  # type: ignore[assignment]


def _loss(output: Any) -> dict[str, Tensor]:
    """Return the loss alone; nothing before the first iteration and when one broke off."""
    # decollation gives each sample the loss of its batch
    sample = output[0] if isinstance(output, list) else output
    return {"loss": torch.as_tensor(sample["loss"]).detach().reshape(())} if sample and "loss" in sample else {}
