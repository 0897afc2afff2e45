"""Pictures of test cases as data URIs in the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.study.report.text import count, number
from monai_ssl.study.results import Cell

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_LARGEST = 300_000
_ROOM = 1_200_000


@dataclass(frozen=True)
class CasePicture:
    """A picture of one test case.

    Args:
        cell: that drew it.
        name: which case it is: ``"best"``, ``"worst"``, or the name of the case.
        data: the picture as a ``data:`` address.
    """

    cell: Cell
    name: str
    data: str

    @property
    def caption(self) -> str:
        cell = self.cell
        score = f" {number(cell.per_case[self.name])}" if self.name in cell.per_case else ""
        return f"{cell.method}, {cell.scheme}, {count(cell.labels, 'label')}, seed {cell.seed}: {self.name}{score}"


def case_pictures(cells: Sequence[Cell]) -> list[CasePicture]:
    """Return the pictures of each arm's first seed with the most labels, all of one name together.

    What is too large for a page is left out, and so is what lies outside its cell's folder.

    Args:
        cells: of one task.
    """
    most = max((cell.labels for cell in cells if cell.pictures), default=0)
    chosen: dict[tuple[str, str], Cell] = {}
    for cell in sorted(cells, key=lambda cell: (not cell.is_scratch, cell.method, cell.scheme, cell.seed)):
        if cell.pictures and cell.labels == most:
            chosen.setdefault((cell.method, cell.scheme), cell)
    found = [(cell, path) for cell in chosen.values() for path in _readable(cell)]
    found.sort(key=lambda item: item[1].stem)
    pictures, room = [], _ROOM
    for cell, path in found:
        room -= path.stat().st_size
        if room >= 0:
            content = base64.b64encode(path.read_bytes()).decode("ascii")
            address = f"data:{_KINDS[path.suffix.lower()]};base64,{content}"
            pictures.append(CasePicture(cell, path.stem, address))
    return pictures


def _readable(cell: Cell) -> list[Path]:
    return [path for name in cell.pictures if (path := _inside(cell, name)) is not None and _fits(path)]


def _inside(cell: Cell, name: str) -> Path | None:
    try:
        return cell.folder.picture(name)
    except ValueError:
        return None


def _fits(path: Path) -> bool:
    return path.suffix.lower() in _KINDS and path.is_file() and path.stat().st_size <= _LARGEST


__all__ = ["CasePicture", "case_pictures"]
