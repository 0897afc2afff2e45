"""Changes of a run's recipe between a checkpoint and its continuation: which may pass, which make it another run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

logger = logging.getLogger(__name__)
_MAY_CHANGE = ("lr", "base_lr", "warmup", "weight_decay", "batch_size", "amp", "train#trainer", "optimizers")
"""Keys that steer how the same goal is reached: they may change in the middle of a run, which is said."""
_MOST = 5
"""Changes that are told."""


class Change(NamedTuple):
    """A key of a recipe whose value is another one now; ``None`` also where there was none, or is none now."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"`{self.key}` was {_short(self.before)} and is now {_short(self.now)}"

    @property
    def may_pass(self) -> bool:
        """Whether the run is still the same."""
        name = self.key.removesuffix("#_target_")
        if name != self.key:
            return False
        return any(name == key or name.startswith(f"{key}#") for key in _MAY_CHANGE)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what differs. A key that only one of them has is another version's, unless a part came or went.

    >>> [str(change) for change in changes({"lr": 0.1, "widths": [2]}, {"lr": 0.2, "widths": [2], "new": 1})]
    ['`lr` was 0.1 and is now 0.2']
    """
    keys = [key for key in {**before, **now} if (key in before and key in now) or key.endswith("#_target_")]
    found = [Change(key, before.get(key), now.get(key)) for key in keys]
    # as text, in which NaN is NaN
    return [change for change in found if str(change.before) != str(change.now)]


def check_changes(found: Sequence[Change], checkpoint: Path, on_purpose: bool) -> None:
    """Tell what changed, or refuse to go on with what makes it another run.

    Args:
        found: by :func:`changes`.
        checkpoint: to continue from.
        on_purpose: whether the user named the checkpoint; then nothing is refused.

    Raises:
        ValueError: naming the keys with both values.
    """
    refused = [] if on_purpose else _nearest_to_the_user([change for change in found if not change.may_pass])
    if refused:
        raise ValueError(
            f"`--resume true` continues the run of {checkpoint}, and this would be another one: {_told(refused)}. "
            "Give what it had, or begin anew with `--resume false`; to go on from there with the new value on purpose, "
            f"name the checkpoint: `--resume {checkpoint}`."
        )
    if found:
        logger.warning("The run continues with other values: %s.", _told(_nearest_to_the_user(found)))


def _nearest_to_the_user(found: Sequence[Change]) -> list[Change]:
    """Return the keys at the top where there are any: the parts of views and networks follow from them."""
    return [change for change in found if "#" not in change.key] or list(found)


def _told(found: Sequence[Change]) -> str:
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(map(str, found[:_MOST])) + more


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


__all__ = ["Change", "changes", "check_changes"]
