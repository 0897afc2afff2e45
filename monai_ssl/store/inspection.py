"""Summary of a store: scans, patients, shapes, spacing, intensities; it names no patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.errors import counted
from monai_ssl.store.content import NEAR, difference, same_content
from monai_ssl.store.scan import Scan
from monai_ssl.store.store import Store

_LISTED = 10
_COMPARED = 3000
"""Scans of a store that are compared in pairs at most; the time grows with their square."""
_QUANTILES = (0, 50, 100)


@dataclass(frozen=True)
class Inspection:
    """The content of a store.

    Args:
        store: folder or URL.
        fingerprint: identifies the content.
        scans: number of scans.
        patients: number of patients.
        modalities: scans by modality and dimensions.
        dtypes: scans by type of the stored values, and compression where there is one.
        sizes: by number of dimensions, least, median and greatest voxels of each axis.
        spacings: likewise, millimeters.
        body_fraction: least, median and greatest share of the scan that its body box holds.
        notes: how many scans have a note.
        megabytes: of all arrays.
        same_voxels: groups of scans, by key, that hold the same voxels.
        nearly_same: pairs of scans of different patients, by key, that look the same.
    """

    store: str | Path
    fingerprint: str
    scans: int
    patients: int
    modalities: dict[str, int]
    dtypes: dict[str, int]
    sizes: dict[str, list[list[float]]]
    spacings: dict[str, list[list[float]]]
    body_fraction: list[float]
    notes: dict[str, int]
    megabytes: float
    same_voxels: list[list[str]]
    nearly_same: list[list[str]]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in types of JSON."""
        return {**asdict(self), "store": str(self.store)}

    def table(self) -> str:
        """Return it for people."""
        lines = [
            f"{self.store}: {counted(self.scans, 'scan')} of {counted(self.patients, 'patient')}, "
            f"{self.megabytes:.1f} MB, fingerprint {self.fingerprint}",
            f"modalities      {_counts(self.modalities)}",
            f"stored as       {_counts(self.dtypes)}",
        ]
        for title, by_dims in (("size, voxels", self.sizes), ("spacing, mm", self.spacings)):
            lines += [f"{title:<16}{dims}: {_axes(axes)}" for dims, axes in by_dims.items()]
        if self.body_fraction:
            lines.append("body box        {:.0%} .. median {:.0%} .. {:.0%} of the scan".format(*self.body_fraction))
        lines += [f"note            {n} x {note}" for note, n in self.notes.items()]
        lines += [f"same voxels     {', '.join(keys)}" for keys in self.same_voxels[:_LISTED]]
        lines += [f"look the same   {', '.join(keys)} of two patients" for keys in self.nearly_same[:_LISTED]]
        return "\n".join(lines)


def inspect_store(store: Store) -> Inspection:
    """Summarize a store from its manifest; no scan is read."""
    scans = store.scans
    dims = sorted({scan.spatial_dims for scan in scans})
    groups = {f"{d}-D": [scan for scan in scans if scan.spatial_dims == d] for d in dims}
    fractions = [_body_fraction(scan) for scan in scans if scan.spatial_dims == 3]
    return Inspection(
        store=store.place,
        fingerprint=store.fingerprint,
        scans=len(scans),
        patients=len(store.patients),
        modalities=_count(f"{scan.modality} {scan.spatial_dims}-D" for scan in scans),
        dtypes=_count(f"{scan.dtype.name} {scan.compression or ''}".rstrip() for scan in scans),
        sizes={name: _spread([scan.shape[1:] for scan in group]) for name, group in groups.items()},
        spacings={name: _spread([scan.spacing for scan in group]) for name, group in groups.items()},
        body_fraction=np.percentile(fractions, _QUANTILES).tolist() if fractions else [],
        notes=_count(note for scan in scans for note in scan.notes),
        megabytes=sum(scan.size for scan in scans) / 1e6,
        same_voxels=same_content((scan.key, scan.content) for scan in scans),
        nearly_same=_nearly_same(scans[:_COMPARED]),
    )


def _nearly_same(scans: list[Scan]) -> list[list[str]]:
    pairs = combinations([scan for scan in scans if scan.look], 2)
    return [[a.key, b.key] for a, b in pairs if a.patient != b.patient and difference(a.look, b.look) <= NEAR]


def _body_fraction(scan: Scan) -> float:
    lo, hi = np.asarray(scan.body_box)
    return float(np.prod(hi - lo) / np.prod(scan.shape[1:]))


def _count(names: Iterable[str]) -> dict[str, int]:
    return dict(Counter(names).most_common())


def _spread(rows: list[tuple[Any, ...]]) -> list[list[float]]:
    return np.percentile(np.asarray(rows, float), _QUANTILES, axis=0).T.tolist()


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"


def _axes(axes: list[list[float]]) -> str:
    return ",  ".join(
        f"{name} {low:.4g} .. median {middle:.4g} .. {high:.4g}"
        for name, (low, middle, high) in zip("xyz", axes, strict=False)
    )


__all__ = ["Inspection", "inspect_store"]
