"""How to prepare a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_ssl.store.compressed import library

_CHOICES = {
    "modality": ("auto", "ct", "mr", "xray", "us"),
    "four_d": ("refuse", "split"),
    "missing_slices": ("refuse", "fill"),
    "backend": ("processes", "dask"),
}


@dataclass(frozen=True)
class PrepareOptions:
    """How to prepare.

    Args:
        modality: ``"ct"``, ``"mr"``, ``"xray"``, ``"us"``, or ``"auto"``: what the file says, else by the values.
        spacing: millimeters per axis to resample 3-D scans to; ``None`` keeps that of the scanner.
        four_d: ``"refuse"`` a 4-D file or ``"split"`` it into scans.
        missing_slices: ``"refuse"`` a series with gaps or ``"fill"`` them by interpolation.
        workers: processes; ``None`` takes one for each core, at most 8; 0 works in this process.
        include: patterns; if any is given, only what matches one is prepared, even if it looks like a label map.
        exclude: patterns of what to leave out.
        patients: who is a patient where tags and names do not tell, see :func:`monai_ssl.io.patient_rule.patient_rule`.
        compress: write new scans compressed by blosc2: less disk, slower windows, the same values.
        backend: ``"processes"`` of this machine, or ``"dask"``: the cluster of ``DASK_SCHEDULER_ADDRESS``, whose
            machines see source and store under the same paths.
        shard: (i, n) converts the i-th of n parts of the sources, i from 1 to n, beside other machines that do
            others; a call without it then completes the store, whatever part was lost.
    """

    modality: str = "auto"
    spacing: tuple[float, float, float] | None = None
    four_d: str = "refuse"
    missing_slices: str = "refuse"
    workers: int | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    patients: str | None = None
    compress: bool = False
    backend: str = "processes"
    shard: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {getattr(self, name)!r}.")
        if self.spacing is not None and (len(self.spacing) != 3 or not all(0.05 <= s <= 50 for s in self.spacing)):
            raise ValueError(f"`spacing` must be three numbers from 0.05 to 50 (millimeters), got {self.spacing}.")
        if self.workers is not None and self.workers < 0:
            raise ValueError(f"`workers` must be 0 or more, got {self.workers}.")
        if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
            raise ValueError(f"`shard` must be i/n with i from 1 to n, got {self.shard[0]}/{self.shard[1]}.")
        if self.compress:
            library()

    def identity(self) -> dict[str, Any]:
        """Return what changes the arrays, and so the keys."""
        return {
            "modality": self.modality,
            "spacing": None if self.spacing is None else [float(s) for s in self.spacing],
            "four_d": self.four_d,
            "missing_slices": self.missing_slices,
        }


__all__ = ["PrepareOptions"]
