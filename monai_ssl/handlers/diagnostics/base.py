"""Base of the sanity checks of a training run: warn once, on rank 0, never stop the run."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
from ignite.engine import Events

from monai_ssl.handlers.guard import Guard

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

Look = Callable[[Any], str | None]


class Diagnostic(ABC):
    """Look for one thing that goes wrong in a training without an error.

    A subclass is final. It says in :meth:`looks` when it looks; a look gets the trainer and returns what to tell a
    person, or ``None``. The first message is a warning, all others are dropped. Only rank 0 looks. A look that fails is
    logged once, and no other follows: a diagnostic changes nothing of a run and never ends one.

    >>> class LongEpoch(Diagnostic):
    ...     def looks(self):
    ...         return {Events.EPOCH_COMPLETED: self.judge}
    ...
    ...     def judge(self, engine):
    ...         return "An epoch is long." if engine.state.epoch_length > 10**6 else None
    """

    all_ranks = False
    """Whether a look gathers from all ranks: then all look, and what fails on one must end the run, or others wait."""

    _said = False
    _guard: Guard | None = None

    @abstractmethod
    def looks(self) -> Mapping[Events, Look]:
        """Return what is done at which event."""

    def attach(self, engine: SSLTrainer) -> None:
        """Look at ``engine`` from now on."""
        if self.all_ranks or idist.get_rank() == 0:
            for event, look in self.looks().items():
                engine.add_event_handler(event, self._look, look)

    def _look(self, engine: SSLTrainer, look: Look) -> None:
        if self._guard is None:
            self._guard = Guard(type(self).__name__)
        if self._guard.failed:
            return
        together = self.all_ranks and idist.get_world_size() > 1
        message = look(engine) if together else self._guard(engine, lambda: look(engine))
        if message and not self._said and idist.get_rank() == 0:
            self._said = True
            warnings.warn(message, UserWarning, stacklevel=2)


__all__ = ["Diagnostic", "Look"]
