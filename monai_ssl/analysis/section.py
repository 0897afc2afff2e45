"""What an instrument returns: sentences, numbers for programs, a table and pictures for people."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG without metadata, and what it shows; neither names a patient or a file."""

    png: bytes
    caption: str

    @property
    def address(self) -> str:
        """The picture as a ``data:`` address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        name: key of its numbers in ``analysis.json``.
        title: heading.
        said: sentences: what was measured, on what, and how to read it.
        numbers: what JSON can hold; not-a-number is written as null.
        table: the numbers for a reader.
        pictures: in order.
    """

    name: str
    title: str
    said: Sequence[str]
    numbers: dict[str, Any]
    table: Table | None = None
    pictures: Sequence[Picture] = field(default=())


def rounded(value: float | None) -> str:
    """Write a number for a table with three decimals, or a dash where there is none."""
    if value is None or value != value:
        return "–"
    return f"{value:.3f}".replace("-", "−")
