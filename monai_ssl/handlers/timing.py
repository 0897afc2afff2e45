"""Data-wait time: how long training waits for the data loader."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import ignite.distributed as idist
import numpy as np
from ignite.engine import Events

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_FEWEST = 10


class DataWait:
    """Put the time spent waiting for the loader, an epoch at a time, into ``engine.state.metrics``.

    ``time/data_wait_share`` in [0, 1] is its share of the whole, ``time/data_wait_ms_median`` and
    ``time/data_wait_ms_p95`` are milliseconds an iteration, ``time/iteration_ms_median`` is an iteration with its wait.
    The first iteration of a run, in which workers start, does not count. When the share is above ``alarm``, a warning
    says once what to change. Active on rank 0 only.

    Args:
        alarm: share of waiting above which to warn, after an epoch of 10 iterations or more.
    """

    def __init__(self, alarm: float = 0.3) -> None:
        self.alarm = alarm
        self._waits: list[float] = []
        self._wholes: list[float] = []
        self._asked = self._got = 0.0
        self._started = False
        self._warned = False

    def attach(self, engine: SSLTrainer) -> None:
        """Measure ``engine``."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._ask)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._get)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._done)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._report)

    def _begin(self) -> None:
        self._started = False

    def _ask(self) -> None:
        self._asked = time.perf_counter()

    def _get(self) -> None:
        self._got = time.perf_counter()

    def _done(self) -> None:
        if self._started:
            self._waits.append(self._got - self._asked)
            self._wholes.append(time.perf_counter() - self._asked)
        self._started = True

    def _report(self, engine: SSLTrainer) -> None:
        if not self._waits:
            return
        waits, wholes = np.array(self._waits) * 1e3, np.array(self._wholes) * 1e3
        self._waits, self._wholes = [], []
        share = float(waits.sum() / wholes.sum())
        engine.state.metrics |= {
            "time/data_wait_share": share,
            "time/data_wait_ms_median": float(np.median(waits)),
            "time/data_wait_ms_p95": float(np.percentile(waits, 95)),
            "time/iteration_ms_median": float(np.median(wholes)),
        }
        if share > self.alarm and len(waits) >= _FEWEST and not self._warned:
            self._warned = True
            warnings.warn(
                f"Training waited for data {share:.0%} of the time in epoch {engine.state.epoch} (median "
                f"{np.median(waits):.0f} ms an iteration). Raise `num_workers`, have the scans prepared with "
                "`python -m monai_ssl prepare` on a local disk, or move costly transforms from the crops to `views`.",
                UserWarning,
                stacklevel=2,
            )


__all__ = ["DataWait"]
