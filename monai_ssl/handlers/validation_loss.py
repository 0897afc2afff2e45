"""Validation loss: the self-supervised objective and its metrics on validation patients."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from ignite.engine import Events

from monai_ssl.engines.randomness import seed_iteration
from monai_ssl.errors import ScanError
from monai_ssl.handlers.guard import Guard
from monai_ssl.handlers.preserving_state import preserving_state
from monai_ssl.handlers.running_mean import RunningMeans
from monai_ssl.transforms.views import BatchViews

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class ValidationLoss:
    """Put the mean loss terms and metrics over validation data into ``engine.state.metrics`` as ``validation/<name>``.

    ``validation/loss`` is the sum of the terms of the method's first step, ``validation/best`` its least value since
    training was started or resumed. Views and the method draw the same random numbers every time, so values of
    different epochs compare; nothing of the method or its generators is changed. Under distributed training every
    rank sees its own loader, and the mean of all is taken. An evaluation that fails does not end the run: a warning
    says so once, and the epoch has no such metrics. A scan that cannot be read ends it, as in training: until it is
    back, no checkpoint can be chosen.

    Args:
        loader: batches of validation samples, the same ones each time it is iterated.
        views: as for training; a copy of them is used.
        every: epochs between two evaluations; the last epoch is always evaluated.
        batches: how many batches to use; ``None`` for the length of ``loader``.
        seed: of views and method.

    Raises:
        ValueError: when ``every`` is below 1; in training, when the loader has no batch.
        ScanError: in training, when a validation scan of the store is missing, cut short or damaged.
    """

    def __init__(
        self,
        loader: Collection[Mapping[str, Any]] | Iterable[Mapping[str, Any]],
        views: BatchViews | None = None,
        every: int = 1,
        *,
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        if every < 1:
            raise ValueError(f"`every` of `ValidationLoss` is a number of epochs of at least 1, got {every}.")
        self.loader = loader
        self.views = copy.deepcopy(views)
        self.every = every
        self.batches = batches
        self.seed = seed
        self.best = float("inf")
        self._guard = Guard("ValidationLoss", ends=(ScanError,))

    def attach(self, engine: SSLTrainer) -> None:
        """Evaluate at the end of epochs."""
        engine.add_event_handler(Events.STARTED, self._check)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._evaluate)

    def _check(self, engine: SSLTrainer) -> None:
        if isinstance(self.loader, Sized) and not len(self.loader):
            raise ValueError(
                "The validation loader yields no batch; give more scans to `validation`, or lower the batch size."
            )

    def _evaluate(self, engine: SSLTrainer) -> None:
        if engine.state.epoch % self.every and engine.state.epoch != engine.state.max_epochs:
            return
        for name in [name for name in engine.state.metrics if name.startswith("validation/")]:
            # those of the last epoch are not of this network
            del engine.state.metrics[name]
        terms = _of_all_ranks(self._guard(engine, lambda: self._mean_terms(engine)))
        if terms is None:
            return
        self.best = min(self.best, terms["loss"])
        engine.state.metrics |= {f"validation/{name}": value for name, value in terms.items()}
        engine.state.metrics["validation/best"] = self.best

    def _mean_terms(self, engine: SSLTrainer) -> dict[str, float]:
        means = RunningMeans()
        count = self.batches if self.batches is not None else len(self.loader)  # type: ignore[arg-type]
        with preserving_state(engine) as method:
            for number, raw in enumerate(_in_single_precision(self.loader, count)):
                seed_iteration(method, self.views, self.seed, number, idist.get_rank())
                batch: dict[Any, Any] = dict(engine.to_device(raw))
                if self.views is not None:
                    batch = dict(self.views(batch))
                terms = method(batch)
                means.add({"loss": torch.stack(list(terms.values())).sum(), **terms, **method.metrics(batch)})
        found = means.read()
        if not found:
            raise ValueError("The validation loader yields no batch.")
        return found


def _of_all_ranks(found: dict[str, float] | None) -> dict[str, float] | None:
    """Return the means over ranks; nothing when one has none, since the others would wait for it."""
    world, device = idist.get_world_size(), idist.device()
    if world == 1:
        return found
    have: Any = idist.all_reduce(torch.tensor(float(found is not None), device=device))
    if found is None or have < world:
        return None
    summed: Any = idist.all_reduce(torch.tensor(list(found.values()), dtype=torch.float64, device=device))
    return dict(zip(found, (summed / world).tolist(), strict=True))


def _in_single_precision(loader: Iterable[Mapping[str, Any]], count: int) -> Iterator[Mapping[str, Any]]:
    """Yield batches as loader workers make them: autocast around the method would reach crops that are cut here."""
    batches = islice(loader, count)
    while True:
        with torch.autocast("cpu", enabled=False):
            raw = next(batches, None)
        if raw is None:
            return
        yield raw


__all__ = ["ValidationLoss"]
