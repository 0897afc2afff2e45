"""Data-wait time: how long training waits for the data loader."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
from ignite.engine import Events

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_FEWEST = 10


class DataWait(Diagnostic):
    """Put the time spent waiting for the loader, an epoch at a time, into ``engine.state.metrics``.

    ``time/data_wait_share`` in [0, 1] is its share of the whole, ``time/data_wait_ms_median`` and
    ``time/data_wait_ms_p95`` are milliseconds an iteration, ``time/iteration_ms_median`` is an iteration with its wait.
    The first iteration of a run, in which workers start, does not count. When the share is above ``alarm``, it says
    what to change.

    Args:
        alarm: share of waiting above which to warn, after an epoch of 10 iterations or more.
    """

    def __init__(self, alarm: float = 0.3) -> None:
        self.alarm = alarm
        self._waits: list[float] = []
        self._wholes: list[float] = []
        self._asked = self._got = 0.0
        self._started = False

    def looks(self) -> dict[Events, Look]:
        return {
            Events.STARTED: self._begin,
            Events.GET_BATCH_STARTED: self._ask,
            Events.GET_BATCH_COMPLETED: self._get,
            Events.ITERATION_COMPLETED: self._done,
            Events.EPOCH_COMPLETED: self._report,
        }

    def _begin(self, engine: SSLTrainer) -> None:
        self._started = False

    def _ask(self, engine: SSLTrainer) -> None:
        self._asked = time.perf_counter()

    def _get(self, engine: SSLTrainer) -> None:
        self._got = time.perf_counter()

    def _done(self, engine: SSLTrainer) -> None:
        if self._started:
            self._waits.append(self._got - self._asked)
            self._wholes.append(time.perf_counter() - self._asked)
        self._started = True

    def _report(self, engine: SSLTrainer) -> str | None:
        if not self._waits:
            return None
        waits, wholes = np.array(self._waits) * 1e3, np.array(self._wholes) * 1e3
        self._waits, self._wholes = [], []
        share = float(waits.sum() / wholes.sum())
        engine.state.metrics |= {
            "time/data_wait_share": share,
            "time/data_wait_ms_median": float(np.median(waits)),
            "time/data_wait_ms_p95": float(np.percentile(waits, 95)),
            "time/iteration_ms_median": float(np.median(wholes)),
        }
        if share <= self.alarm or len(waits) < _FEWEST:
            return None
        return (
            f"Training waited for data {share:.0%} of the time in epoch {engine.state.epoch} (median "
            f"{np.median(waits):.0f} ms an iteration). Raise `num_workers`, have the scans prepared with "
            "`python -m monai_ssl prepare` on a local disk, or move costly transforms from the crops to `views`."
        )


__all__ = ["DataWait"]
