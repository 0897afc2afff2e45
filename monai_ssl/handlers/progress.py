"""Console progress bar with losses, throughput and time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import ignite.distributed as idist
from ignite.engine import Events
from torch import Tensor

from monai_ssl.handlers.failure import at_failure
from monai_ssl.handlers.running_mean import RunningMeans

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


class Progress:
    """Show epoch, loss terms, images a second and the remaining time.

    On a terminal this is a bar with one line for the whole training; elsewhere (a log file, a scheduler) it is one
    line an epoch. The loss terms are read from the device at most once in ``seconds``, so the bar does not slow
    training. Active on rank 0 only.

    Args:
        seconds: time between two readings of the loss terms; they are means over that time.
        stream: where to write; standard error by default, as progress bars do.
    """

    def __init__(self, seconds: float = 1.0, stream: TextIO | None = None) -> None:
        self.seconds = seconds
        self.stream = stream
        self._means = RunningMeans()
        self._images = 0
        self._since = 0.0
        self._start = (0.0, 0)
        self._bar: Any = None

    def attach(self, engine: SSLTrainer) -> None:
        """Follow ``engine``, whose output is a dictionary of 0-d tensors."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._close)
        at_failure(engine, lambda error: self._close())

    def _begin(self, engine: SSLTrainer) -> None:
        self._start = (time.monotonic(), engine.state.iteration)
        if engine.method.chance:
            terms = "  ".join(f"{name} {value:.4g}" for name, value in engine.method.chance.items())
            print(f"at chance, when all is alike: {terms}", file=self._out, flush=True)
        if not self._out.isatty():
            return
        from tqdm import tqdm

        state: Any = engine.state
        total = state.max_epochs * state.epoch_length
        self._bar = tqdm(total=total, initial=state.iteration, file=self._out, dynamic_ncols=True)

    def _begin_epoch(self, engine: SSLTrainer) -> None:
        self._restart()

    def _step(self, engine: SSLTrainer) -> None:
        state: Any = engine.state
        self._means.add(state.output)
        self._images += _batch_size(state.batch) * idist.get_world_size()
        if self._bar is None:
            return
        self._bar.update()
        if time.monotonic() - self._since >= self.seconds:
            self._bar.set_description(f"epoch {state.epoch}/{state.max_epochs}", refresh=False)
            self._bar.set_postfix_str(self._summary())
            self._restart()

    def _end_epoch(self, engine: SSLTrainer) -> None:
        if self._bar is None:
            state = engine.state
            left = _clock(self._remaining(engine))
            print(f"epoch {state.epoch}/{state.max_epochs}  {self._summary()}  {left} left", file=self._out, flush=True)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _restart(self) -> None:
        self._images, self._since = 0, time.monotonic()

    def _summary(self) -> str:
        terms = "  ".join(f"{name} {value:.4g}" for name, value in self._means.read().items())
        rate = self._images / max(time.monotonic() - self._since, 1e-6)
        return f"{terms}  {rate:.3g} images/s"

    def _remaining(self, engine: SSLTrainer) -> float:
        begun, first = self._start
        state: Any = engine.state
        left = state.max_epochs * state.epoch_length - state.iteration
        return (time.monotonic() - begun) / max(state.iteration - first, 1) * left

    @property
    def _out(self) -> TextIO:
        # looked up late: a test or a notebook may have replaced it since
        return self.stream if self.stream is not None else sys.stderr


def _batch_size(batch: Any) -> int:
    return next((len(x) for x in _tensors(batch)), 0)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, Sequence) and not isinstance(batch, str):
        for value in batch:
            yield from _tensors(value)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


__all__ = ["Progress"]
