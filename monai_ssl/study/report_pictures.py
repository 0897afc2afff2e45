"""Pictures of a report's best and worst cases, as text that stands in the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.study.results import Cell

_KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
_LARGEST = 400_000


@dataclass(frozen=True)
class CasePicture:
    """A picture of one test case.

    Args:
        cell: that made it.
        case: name of the case.
        score: of the case.
        data: the picture as a ``data:`` address.
    """

    cell: Cell
    case: str
    score: float
    data: str


def best_and_worst(cells: Sequence[Cell], number: int = 3) -> tuple[list[CasePicture], list[CasePicture]]:
    """Return pictures of the cases with the best and with the worst scores.

    Args:
        cells: of one task and metric.
        number: of pictures on either side at most; no picture stands on both sides, and no case twice on one.

    Returns:
        The best cases, best first, and the worst, worst first.
    """
    shown = [(cell, *found) for cell in cells for path in cell.pictures for found in _case_of(cell, path)]
    sign = -1 if cells and cells[0].higher_is_better else 1
    ordered = sorted(shown, key=lambda item: (sign * item[2], item[1], item[0].folder.name))
    best = _first_of_each_case(ordered, min(number, (len(ordered) + 1) // 2))
    taken = {(cell.folder, case) for cell, case, *_ in best}
    rest = [item for item in reversed(ordered) if (item[0].folder, item[1]) not in taken]
    worst = _first_of_each_case(rest, number)
    return [_encoded(*item) for item in best], [_encoded(*item) for item in worst]


def _case_of(cell: Cell, relative: str) -> list[tuple[str, float, Path]]:
    """Return (case, score, path) of a picture named after its case; nothing outside the cell's folder is read."""
    path = (cell.folder / relative).resolve()
    inside = path.is_relative_to(cell.folder.resolve())
    if not inside or path.suffix.lower() not in _KINDS or not path.is_file() or path.stat().st_size > _LARGEST:
        return []
    named = [case for case in cell.per_case if path.stem == case or path.stem == Path(case).name]
    return [(named[0], cell.per_case[named[0]], path)] if named else []


def _first_of_each_case(
    items: Sequence[tuple[Cell, str, float, Path]], number: int
) -> list[tuple[Cell, str, float, Path]]:
    kept: dict[str, tuple[Cell, str, float, Path]] = {}
    for item in items:
        if len(kept) < number:
            kept.setdefault(item[1], item)
    return list(kept.values())


def _encoded(cell: Cell, case: str, score: float, path: Path) -> CasePicture:
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return CasePicture(cell, case, score, f"data:{_KINDS[path.suffix.lower()]};base64,{content}")


__all__ = ["CasePicture", "best_and_worst"]
