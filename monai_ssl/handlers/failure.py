"""What is done when a run ends by an exception: every handler has its turn, then the exception goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

logger = logging.getLogger(__name__)
AtFailure = Callable[[BaseException], Any]


def at_failure(engine: Engine, call: AtFailure) -> None:
    """Have ``call(error)`` made when the run of ``engine`` ends by an exception.

    Ignite leaves it to a handler of ``EXCEPTION_RAISED`` to raise the exception again, and whoever does so keeps the
    handlers after him from being called. Here all calls are made in their order, then the exception is raised.

    >>> engine = Engine(lambda engine, batch: 1 / batch)
    >>> at_failure(engine, lambda error: print("first:", error))
    >>> at_failure(engine, lambda error: print("second:", error))
    >>> engine.run([0])
    Traceback (most recent call last):
    ZeroDivisionError: division by zero
    """
    calls: list[AtFailure] | None = getattr(engine, "_at_failure", None)
    if calls is None:
        calls = engine._at_failure = []  # type: ignore[attr-defined]
        engine.add_event_handler(Events.EXCEPTION_RAISED, _end)
    calls.append(call)


def _end(engine: Engine, error: BaseException) -> None:
    # Ignite comes here twice, from the iteration and from the run
    told: set[int] = vars(error).setdefault("_told_by", set())
    calls = [] if id(engine) in told else engine._at_failure  # type: ignore[attr-defined]
    told.add(id(engine))
    for call in calls:
        try:
            call(error)
        except BaseException as other:  # the first error is the reason
            if other is not error:
                logger.warning("While the run ended, `%s` failed, too: %s", type(other).__name__, other)
    raise error


__all__ = ["at_failure"]
