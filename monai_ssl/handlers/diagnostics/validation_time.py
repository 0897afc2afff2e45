"""Validation time of a fine-tuning: what share of the whole it takes."""

from __future__ import annotations

import math
import time
from typing import Any

from ignite.engine import Engine, Events

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look

_FEWEST_SECONDS = 60.0
_WANTED = 0.2


class ValidationTime(Diagnostic):
    """Say which ``val_interval`` leaves most of the time to training, where validation has taken most of it so far.

    On a CPU whole scans are predicted in many windows, which may take longer than an epoch of a few patches. It looks
    after a validation, once training and validation have taken a minute. Put it behind the validation.

    Args:
        validator: of the fine-tuning.
        interval: epochs from one validation to the next.
        alarm: share of the time above which to warn.
    """

    def __init__(self, validator: Engine, interval: int, alarm: float = 0.5) -> None:
        self.interval, self.alarm = interval, alarm
        self._begun = self._asked = self._validating = 0.0
        self._runs = self._first = 0
        validator.add_event_handler(Events.STARTED, self._ask)
        validator.add_event_handler(Events.COMPLETED, self._answer)

    def looks(self) -> dict[Events, Look]:
        return {Events.STARTED: self._begin, Events.EPOCH_COMPLETED: self._judge}

    def _begin(self, engine: Any) -> None:
        self._begun, self._validating, self._runs = time.perf_counter(), 0.0, 0
        self._first = engine.state.epoch

    def _ask(self, engine: Any) -> None:
        self._asked = time.perf_counter()

    def _answer(self, engine: Any) -> None:
        self._validating += time.perf_counter() - self._asked
        self._runs += 1

    def _judge(self, engine: Any) -> str | None:
        whole = time.perf_counter() - self._begun
        share = self._validating / max(whole, 1e-9)
        if whole < _FEWEST_SECONDS or share <= self.alarm or not self._runs:
            return None
        validation = self._validating / self._runs
        epoch = (whole - self._validating) / (engine.state.epoch - self._first)
        wanted = math.ceil(validation / max(epoch, 1e-9) * (1 - _WANTED) / _WANTED)
        wanted = min(wanted, engine.state.max_epochs)
        if wanted <= self.interval:
            return None
        return (
            f"Validation took {share:.0%} of the time so far ({validation:.0f} s each, an epoch {epoch:.1f} s): "
            f"`--val_interval {wanted}` validates less often."
        )


__all__ = ["ValidationTime"]
