"""Metrics of an engine that know which of them are new, so that each measurement is logged once."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from typing import Any


class Measurements(UserDict):
    """A dictionary of metrics that knows which of them were set since it was last asked.

    It takes the place of ``engine.state.metrics``, where a value stays until the next one: whoever reads it every
    epoch cannot tell a new value from that of long ago.

    >>> metrics = Measurements()
    >>> metrics |= {"probe/knn": 0.5}
    >>> metrics.new(), metrics.new(), dict(metrics)
    ({'probe/knn': 0.5}, {}, {'probe/knn': 0.5})
    """

    def __init__(self, metrics: Mapping[str, Any] | None = None) -> None:
        # in the order in which they were set
        self._new: dict[str, None] = {}
        super().__init__(metrics or {})

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._new[name] = None

    def __ior__(self, metrics: Any) -> Measurements:  # type: ignore[misc]
        # that of the base class passes by the method above
        self.update(metrics)
        return self

    def new(self) -> dict[str, Any]:
        """Return what was set since the last call."""
        found = {name: self[name] for name in self._new if name in self}
        self._new = {}
        return found


__all__ = ["Measurements"]
