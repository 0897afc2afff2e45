"""Tables for the console."""

from __future__ import annotations

from collections.abc import Sequence


def in_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line for each row, its cells under those of the rows above.

    >>> in_columns([("method", "mean"), ("vicreg", "0.668"), ("mae", "0.61")])
    ['method  mean', 'vicreg  0.668', 'mae     0.61']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


__all__ = ["in_columns"]
