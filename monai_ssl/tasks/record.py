"""MLflow record of fine-tuning with MONAI's SupervisedTrainer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, SupervisedTrainer
from torch import Tensor

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.data.draws import DrawnCases
from monai_ssl.data.fingerprint import cases_fingerprint
from monai_ssl.handlers import Tracking
from monai_ssl.handlers.failure import at_failure


class Recorder(Protocol):
    """What :class:`monai_ssl.handlers.Tracking` is: something that records an engine."""

    def attach(self, engine: Engine) -> None: ...


class DataRecord:
    """Ignite handler of a trainer that records what is trained and validated on, by a fingerprint and no name.

    Cases are those of MONAI's datasets; of others nothing is known.

    Args:
        recorder: e.g. :class:`monai_ssl.handlers.Tracking`; one that cannot record data is left alone.
        validator: knows the validation cases.
    """

    def __init__(self, recorder: Recorder, validator: Evaluator) -> None:
        self.recorder, self.validator = recorder, validator

    def attach(self, engine: SupervisedTrainer) -> None:
        if idist.get_rank() == 0 and isinstance(self.recorder, Tracking):
            engine.add_event_handler(Events.STARTED, self, self.recorder)

    def __call__(self, trainer: SupervisedTrainer, recorder: Tracking) -> None:
        """Record the cases of both loaders."""
        for context, loader in (("training", trainer.data_loader), ("validation", self.validator.data_loader)):
            if cases := _cases(loader):
                profile = {"cases": len(cases), "patients": len({patient_of(case) for case in cases})}
                recorder.log_dataset("labeled cases", cases_fingerprint(cases), profile, context)


def _cases(loader: Any) -> list[Case]:
    dataset = getattr(loader, "dataset", None)
    data = getattr(dataset.dataset if isinstance(dataset, DrawnCases) else dataset, "data", ())
    return [case for case in data if isinstance(case, dict) and isinstance(case.get("image"), (str, Path))]


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
