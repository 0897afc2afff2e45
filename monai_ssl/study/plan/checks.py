"""Checks of a study file; each error names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai_ssl.errors import nearest
from monai_ssl.transfer.finetune import SCHEMES

TUNED = {"lr", "head_lr", "max_epochs"}
"""Keys of downstream bundles that a study may choose for each arm."""


def labels(labels: Any) -> tuple[int | float | str, ...]:
    for size in labels if isinstance(labels, list) else [None]:
        whole = isinstance(size, int) and not isinstance(size, bool) and size > 0
        if not (whole or (isinstance(size, float) and 0 < size < 1) or size == "all"):
            raise ValueError(
                "`labels` must be a list of numbers of patients, shares between 0 and 1, or 'all', "
                f"e.g. [5, 0.5, 'all']; got {labels!r}."
            )
    return tuple(labels)


def schemes(schemes: Any) -> dict[str, dict[str, Any]]:
    listed = isinstance(schemes, list) and all(isinstance(name, str) for name in schemes)
    named = {name: {} for name in schemes} if listed else objects(schemes, "schemes")
    checked = {}
    for name, options in named.items():
        options = known(options, {"scheme", "warmup_epochs", "lr", "head_lr", "lr_warmup_epochs"}, f"`schemes#{name}`")
        scheme = options.get("scheme", name)
        if scheme not in SCHEMES:
            raise ValueError(f"`schemes#{name}` needs `scheme`, one of {SCHEMES}; got {scheme!r}.")
        checked[str(name)] = {**options, "scheme": scheme}
    if not checked:
        raise ValueError("`schemes` is empty: give one at least, e.g. ['full'].")
    return checked


def tune(grid: Any) -> dict[str, list[float]]:
    grid = known(grid, TUNED, "`tune`")
    for name, values in grid.items():
        kinds = (int,) if name == "max_epochs" else (int, float)
        numbers = [v for v in values if type(v) in kinds and 0 < v < math.inf] if isinstance(values, list) else []
        if not numbers or len(set(numbers)) < len(values):
            raise ValueError(f"`tune#{name}` must be a list of different numbers above 0, got {values!r}.")
    return grid


def seeds(seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, list) or not seeds or any(isinstance(s, bool) or not isinstance(s, int) for s in seeds):
        raise ValueError(f"`seeds` must be a list of whole numbers, e.g. [0, 1, 2]; got {seeds!r}.")
    return tuple(dict.fromkeys(seeds))


def amount(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"`{key}` must be a whole number of 0 or more, got {value!r}.")
    return value


def switch(value: Any, key: str) -> bool:
    """Take also what a command line makes of ``true`` and ``false``."""
    found = {"true": True, "false": False}.get(str(value).lower()) if isinstance(value, (bool, str)) else None
    if found is None:
        raise ValueError(f"`{key}` must be true or false, got {value!r}.")
    return found


def share(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"`{key}` must be between 0 and 1, got {value!r}.")
    return float(value)


def free(overrides: Mapping[str, Any], ours: set[str], key: str) -> None:
    for name in sorted(ours & set(overrides)):
        raise ValueError(f"`{key}#overrides` sets `{name}`, which the study decides; leave it out.")


def objects(value: Any, key: str) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise ValueError(f"`{key}` must be an object of objects by name, got {value!r}.")
    chosen = {name: entry for name, entry in value.items() if not name.startswith("_")}
    for entry in chosen:
        file_name(entry, key)
    return chosen


def file_name(value: Any, key: str) -> None:
    """Names become parts of files' names, which must not lead out of the study's folder."""
    if not isinstance(value, str) or not 0 < len(value) <= 80 or any(mark in value for mark in "/\\\0"):
        raise ValueError(f"`{key}`: a name must be a text of at most 80 characters without slashes, got {value!r}.")
    if value.startswith("."):
        raise ValueError(f"`{key}`: the name {value!r} begins with a dot, which hides files; leave the dot out.")


def text(value: Any, key: str) -> None:
    """Refuse what is no text, or no path that a file could have."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"`{key}` must be a text, got {value!r}.")
    # 255 bytes is what file systems take; endings such as `.json` are added
    if len(value) > 2000 or any(len(part.encode("utf-8", "replace")) > 240 for part in value.split("/")):
        raise ValueError(f"`{key}` is too long for the name of a file: {value[:80]!r}...")


def overrides(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
    changes = entry.get("overrides", {})
    if not isinstance(changes, Mapping):
        raise ValueError(f"`{key}#overrides` must be an object, got {changes!r}.")
    return dict(changes)


def known(entry: Any, keys: set[str], where: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{where} must be an object, got {entry!r}.")
    for name in entry:
        if name not in keys and not name.startswith("_"):
            near = nearest(name, keys)
            hint = f"did you mean `{near}`?" if near else f"it may have {', '.join(sorted(keys))}."
            raise ValueError(f"{where[0].upper()}{where[1:]} has an unknown key `{name}`: {hint}")
    return {name: value for name, value in entry.items() if not name.startswith("_")}


def change(content: dict[str, Any], key: str, value: Any) -> None:
    *levels, last = key.split("#")
    for level in levels:
        if not isinstance(content.get(level), dict):
            raise ValueError(f"`{key}`: the study file has no `{level}` to change.")
        content = content[level]
    content[last] = value
