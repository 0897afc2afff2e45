"""Boxes of findings: from a table, or around the labels of label maps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from monai_ssl.analysis.cases import Case, CaseList
from monai_ssl.analysis.image_set import ImageSet
from monai_ssl.data.cases import is_there

_AXES = "xyz"


@dataclass(frozen=True)
class Finding:
    """A box of a table: first voxel along each axis, then the one behind the last, in voxels of the file."""

    name: str
    box: tuple[float, ...]


@dataclass(frozen=True)
class FindingList:
    """Images with their findings.

    Args:
        cases: one case an image.
        findings: of each image, one at least.
    """

    cases: CaseList
    findings: list[list[Finding]]


def read_boxes(table: str | Path, spatial_dims: int) -> FindingList:
    """Read a table of boxes: columns ``image``, ``x0 y0 (z0) x1 y1 (z1)``, and perhaps ``label`` and ``patient``.

    The first voxel of a box and the one behind its last are counted from 0; of a picture x is the column and y the row,
    of a volume the axes in RAS order. Paths are relative to the table.

    Raises:
        FileNotFoundError: when there is no such table, or an image is missing.
        ValueError: when a column is missing or a number is none.
    """
    path = Path(table)
    if not path.is_file():
        raise FileNotFoundError(f"There is no table of boxes {path}.")
    columns = [f"{axis}{end}" for end in "01" for axis in _AXES[:spatial_dims]]
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The table of boxes {path} is no CSV in UTF-8 ({error}); save it again.") from error
    missing = [name for name in ("image", *columns) if not rows or name not in rows[0]]
    if missing:
        raise ValueError(
            f"The table of boxes {path} needs rows with the columns image, {', '.join(columns)} for {spatial_dims}-D "
            f"images; {', '.join(missing)} is missing."
        )
    found: dict[str, list[Finding]] = {}
    patients: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        found.setdefault(row["image"], []).append(_finding(row, columns, f"Line {number} of {path}"))
        patients[row["image"]] = row.get("patient") or row["image"]
    for image in found:
        if not is_there(path.parent / image):
            raise FileNotFoundError(f"The table of boxes {path} names {image[:200]}, which does not exist beside it.")
    cases = [Case(path.parent / image, patients[image]) for image in found]
    return FindingList(CaseList(cases, (), "a table of boxes"), list(found.values()))


def _finding(row: dict[str, str], columns: list[str], where: str) -> Finding:
    try:
        box = tuple(float(row[name]) for name in columns)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} has a corner that is no number ({error}).") from error
    dims = len(box) // 2
    if not all(a < b for a, b in zip(box[:dims], box[dims:], strict=True)):
        raise ValueError(f"{where} has an empty box: x0 must be below x1, and so on.")
    return Finding(row.get("label") or "finding", box)


def boxes_in(shown: ImageSet, findings: Sequence[Sequence[Finding]] | None) -> tuple[list[Tensor], list[list[str]]]:
    """Return the boxes (M, 2 D) of each image in its voxels there, and the names of their findings.

    Args:
        shown: images, resized.
        findings: of each image of the list that they were drawn from; ``None``: boxes around the labels of ``masks``.
    """
    if findings is None:
        assert shown.masks is not None
        boxes, names = zip(*(mask_boxes(mask) for mask in shown.masks), strict=True)
        return list(boxes), list(names)
    chosen = [findings[i] for i in shown.positions.tolist()]
    scaled = [
        torch.tensor([finding.box for finding in of]) * torch.cat([scale, scale])
        for of, scale in zip(chosen, shown.scales, strict=True)
    ]
    return scaled, [[finding.name for finding in of] for of in chosen]


def mask_boxes(mask: Tensor) -> tuple[Tensor, list[str]]:
    """Return the box around each label of a label map (*spatial), and the names of the labels."""
    values = [int(v) for v in mask.unique() if v > 0]
    corners = [(mask == v).nonzero() for v in values]
    boxes = [torch.cat([at.amin(0), at.amax(0) + 1]).float() for at in corners]
    empty = torch.zeros(0, 2 * mask.ndim)
    return torch.stack(boxes) if boxes else empty, [f"label {v}" for v in values]
