"""Schedules over training progress in [0, 1]: constant, cosine or polynomial with warm-up, linear, steps; stateless."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Schedule = Callable[[float], float]


def constant(value: float) -> Schedule:
    """Return ``value`` at any progress.

    >>> constant(0.1)(0.5)
    0.1
    """
    return lambda progress: value


def cosine(start: float, end: float, warmup: float = 0.0) -> Schedule:
    r"""Half a cosine from ``start`` to ``end``: :math:`e + (s - e)(1 + \cos \pi p) / 2`.

    Args:
        start: value at progress 0 (after the warm-up, if any).
        end: value at progress 1.
        warmup: fraction of training, in [0, 1), during which the value rises linearly from 0 to ``start``.

    >>> lr = cosine(1.0, 0.0, warmup=0.2)
    >>> [round(lr(progress), 3) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _after_warmup(start, warmup, lambda p: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * p)))


def _after_warmup(start: float, warmup: float, decay: Schedule) -> Schedule:
    """A line from 0 to ``start``, then ``decay`` over the rest of training, which it sees as [0, 1]."""
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"`warmup` is a fraction of training in [0, 1), got {warmup}.")

    def value(progress: float) -> float:
        if progress < warmup:
            return start * progress / warmup
        return decay((min(progress, 1.0) - warmup) / (1.0 - warmup))

    return value


def linear(start: float, end: float) -> Schedule:
    """A straight line from ``start`` to ``end``."""
    return lambda progress: start + (end - start) * min(progress, 1.0)


def polynomial(start: float, power: float = 0.9, warmup: float = 0.0) -> Schedule:
    r"""From ``start`` to 0 as :math:`s (1 - p)^{power}` (nnU-Net's schedule, "poly").

    Args:
        start: value at progress 0 (after the warm-up, if any).
        power: 1 is a straight line.
        warmup: fraction of training, in [0, 1), during which the value rises linearly from 0 to ``start``.

    >>> lr = polynomial(1.0, power=2.0, warmup=0.2)
    >>> [round(lr(progress), 3) for progress in (0.0, 0.1, 0.2, 0.6, 1.0)]
    [0.0, 0.5, 1.0, 0.25, 0.0]
    """
    return _after_warmup(start, warmup, lambda p: float(start * (1.0 - p) ** power))


def steps(start: float, factor: float, at: Sequence[float]) -> Schedule:
    """Return ``start``, multiplied by ``factor`` as soon as each progress in ``at`` is reached.

    >>> lr = steps(1.0, 0.1, at=(0.5, 0.75))
    >>> [round(lr(progress), 3) for progress in (0.0, 0.5, 0.8)]
    [1.0, 0.1, 0.01]
    """
    if not all(0.0 <= p <= 1.0 for p in at):
        raise ValueError(f"`at` holds fractions of training in [0, 1], got {list(at)}.")
    return lambda progress: start * factor ** sum(progress >= p for p in at)


def iteration_progress(state: Any) -> float:
    """Return the share of all iterations that lie behind when one begins, in [0, 1).

    Args:
        state: of an Ignite engine.

    >>> from ignite.engine import State
    >>> iteration_progress(State(iteration=3, max_epochs=2, epoch_length=4))
    0.25
    """
    return float((state.iteration - 1) / (state.max_epochs * state.epoch_length))


__all__ = ["Schedule", "constant", "cosine", "iteration_progress", "linear", "polynomial", "steps"]
