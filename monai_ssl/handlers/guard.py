"""Guard of monitors: what only looks at a run never ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

logger = logging.getLogger(__name__)
Found = TypeVar("Found")


class Guard:
    """Call a monitor; when it raises, the run goes on, and a warning says so once.

    Args:
        name: of the monitor, as a user knows it.
        ends: kinds of exceptions that end the run all the same.

    >>> from types import SimpleNamespace
    >>> engine = SimpleNamespace(state=SimpleNamespace(iteration=7))
    >>> guard = Guard("Pictures")
    >>> guard(engine, lambda: 1 / 0), guard.failed, guard(engine, lambda: "drawn")
    (None, True, 'drawn')
    """

    def __init__(self, name: str, ends: tuple[type[Exception], ...] = ()) -> None:
        self.name = name
        self.ends = ends
        self.failed = False
        """Whether a call has raised."""

    def __call__(self, engine: SSLTrainer, look: Callable[[], Found]) -> Found | None:
        """Return what ``look`` returns, ``None`` when it raises."""
        try:
            return look()
        except self.ends:
            raise
        except Exception as error:  # whatever a monitor stumbles over
            if not self.failed:
                logger.warning(
                    "`%s` failed in iteration %d; training goes on without what it would have shown. %s: %s",
                    self.name,
                    engine.state.iteration,
                    type(error).__name__,
                    error,
                )
            self.failed = True
            logger.debug("Where it failed:", exc_info=True)
            return None


__all__ = ["Guard"]
