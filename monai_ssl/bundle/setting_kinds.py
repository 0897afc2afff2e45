"""Settings that a user typed must be of the kind of what they replace: numbers, lists of numbers, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_ssl.arguments import check_interval
from monai_ssl.config_texts import EXPRESSION_SIGNS

_LEAST = {
    "max_epochs": 1,
    "batch_size": 1,
    "windows_per_scan": 1,
    "patches_per_scan": 1,
    "accumulation_steps": 1,
    "num_workers": 0,
    "lr": 0,
    "head_lr": 0,
}
"""Least values of keys that mean the same in all bundles."""
_WINDOWS = {"roi_size", "image_size"}
"""Their length says how many axes there are."""


def refuse_other_kinds(config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise unless what was given is a number where the bundle has a number, and a list where it has one of numbers.

    Expressions are not judged: what they give is known when they are evaluated. One number may stand for a list of
    equal ones, as for all axes, but not for the window, whose length says how many axes there are.

    Args:
        config: of the bundle, before anything was given.
        given: by key, parts of keys with ``#``.

    Raises:
        ValueError: naming the key, what it is by default, and what was given.

    >>> refuse_other_kinds({"lr": 0.1, "optimizer": {"lr": "@lr"}, "widths": [8, 16]}, {"lr": 3, "widths": [4]})
    >>> refuse_other_kinds({"lr": 0.1, "optimizer": {"lr": "@lr"}}, {"optimizer#lr": "fast"})
    Traceback (most recent call last):
    ValueError: `optimizer#lr` is a number, such as 0.1, got 'fast'.
    """
    for key, value in given.items():
        if value is None or (isinstance(value, str) and value.startswith(EXPRESSION_SIGNS)):
            continue
        default = _default(config, key)
        if _is_number(default) and isinstance(value, str):
            raise ValueError(f"`{key}` is a number, such as {default}, got {value!r}.")
        for_all = _is_number(value) and key not in _WINDOWS and _are_numbers(default) and len(set(default)) == 1
        if _are_numbers(default) and "#" not in key and not isinstance(value, (list, tuple)) and not for_all:
            raise ValueError(f"`{key}` is a list of numbers, such as {default}, got {value!r}.")
        if key in _LEAST:
            check_interval(f"[{_LEAST[key]}, inf)", **{key: value})


def _default(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("#"):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    is_reference = isinstance(value, str) and value.startswith("@")
    return config.get(value[1:]) if is_reference else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


__all__ = ["refuse_other_kinds"]
