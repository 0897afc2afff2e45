"""Convergence speed: epochs of fine-tuning until a share of the best score is reached."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite


def epochs_to(
    scores: Sequence[float],
    share: float = 0.95,
    *,
    floor: float = 0.0,
    best: float | None = None,
    epochs: Sequence[int] | None = None,
) -> int | None:
    """Return the first epoch whose score reaches ``floor + share * (best - floor)``.

    Args:
        scores: of each evaluation in order, higher is better, such as Dice on validation images.
        share: of the way from ``floor`` to ``best``, in (0, 1].
        floor: the score of guessing, 0.5 for an AUC: 95 % of an AUC would be reached at once.
        best: what to reach a share of; ``None`` for the best of ``scores``. The best of training from scratch asks how
            soon pre-training catches up with it.
        epochs: at which the scores were taken, rising; ``None`` for 1, 2, 3, ...

    Returns:
        The epoch; ``None`` when ``best`` is given and ``scores`` never get there.

    Raises:
        ValueError: when there is no score or one is not finite, ``share`` is out of range, ``epochs`` do not fit, or
            ``best`` is not above ``floor``.
    """
    if len(scores) == 0 or not all(isfinite(score) for score in scores):
        raise ValueError(f"`scores` must be finite numbers, one for each evaluation, got {list(scores)[:5]}.")
    if not 0 < share <= 1:
        raise ValueError(f"`share` must be in (0, 1], got {share}.")
    taken = list(range(1, len(scores) + 1)) if epochs is None else list(epochs)
    if len(taken) != len(scores) or any(a >= b for a, b in pairwise(taken)):
        raise ValueError(f"`epochs` must be {len(scores)} rising numbers, one for each score, got {taken[:5]}.")
    goal = max(scores) if best is None else best
    if goal <= floor:
        raise ValueError(f"The best score {goal} is not above `floor` = {floor}: nothing was learned.")
    needed = goal if share == 1 else floor + share * (goal - floor)
    return next((epoch for epoch, score in zip(taken, scores, strict=True) if score >= needed), None)


__all__ = ["epochs_to"]
