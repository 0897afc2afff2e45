"""What a training step of each bundle needs with its defaults, as ``docs/resources.py`` counted it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ssl.files import read_json

TABLE = Path(__file__).with_name("resources.json")
"""``bundles``: rows by name and configuration."""


def gigabytes(count: int) -> str:
    """Return bytes in GB, with two digits that count.

    >>> gigabytes(33_010_535_802), gigabytes(1_340_000_000), gigabytes(96_000_000)
    ('33', '1.3', '0.1')
    """
    number = count / 1e9
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def window_and_batch(need: Mapping[str, Any]) -> list[str]:
    """Return the size of the windows and how many make a batch.

    >>> window_and_batch({"window": [64, 64, 32], "batch": 128})
    ['64 x 64 x 32', '128']
    """
    return [" x ".join(map(str, need["window"])), str(need["batch"])]


def memory_lines(bundle: str) -> list[str]:
    """Return the memory of a step of a bundle in words, a line for each configuration; none for one of the user's.

    >>> memory_lines("no_such_bundle")
    []
    """
    return [
        f"- `{name}`, {' and batch '.join(window_and_batch(need))}: {_in_words(need)}"
        for name, need in sorted(read_json(TABLE)["bundles"].get(bundle, {}).items())
    ]


def _in_words(need: Mapping[str, Any]) -> str:
    if "why" in need:
        return str(need["why"])
    return f"{gigabytes(need['bytes'])} GB"


__all__ = ["TABLE", "gigabytes", "memory_lines", "window_and_batch"]
