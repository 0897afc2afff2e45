"""Report of a preparation, as a table and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_ssl.errors import counted
from monai_ssl.store.intensity import default_intensity

_LISTED = 30
FATES = ("prepared", "already there", "same content twice", "left out", "FAILED")
"""What can become of a file."""


@dataclass
class Report:
    """The outcome of :func:`prepare`; names are paths relative to the source and may identify patients.

    Args:
        store: folder of the store.
        prepared: keys of the scans that were added.
        already: number of scans that were there.
        duplicates: (name, name of the source with the same content).
        left_out: (name, reason) of what was not meant to be prepared, or is no image.
        failed: (name, reason) of what could not be prepared.
        modalities: number of scans by modality and how it was found out.
        patients: number of patients in the store.
        scans: number of scans in the store.
        files: number of files below the source by what became of them, :data:`FATES`; the companions of a header, and
            the files of a series, share its fate, so that the sum is what ``find SRC -type f`` counts.
        notes: (key, note) of what was noteworthy in scans that were added.
        patients_found: how the patients of this run were found, with three examples.
        warnings: what the user should look at.
    """

    store: Path
    prepared: list[str] = field(default_factory=list)
    already: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    modalities: dict[str, int] = field(default_factory=dict)
    patients: int = 0
    scans: int = 0
    files: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FATES, 0))
    notes: list[tuple[str, str]] = field(default_factory=list)
    patients_found: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it in types of JSON."""
        return {**asdict(self), "store": str(self.store)}

    def table(self) -> str:
        """Return a summary for people; what failed comes last, where it is seen."""
        counts: tuple[Sized, ...] = (self.prepared, range(self.already), self.duplicates, self.left_out, self.failed)
        lines = [f"{'':<20}{'entries':>8}{'files':>8}"]
        lines += [f"{fate:<20}{len(of):>8}{self.files[fate]:>8}" for fate, of in zip(FATES, counts, strict=True)]
        lines += [f"{'':<28}{sum(self.files.values()):>8} below the source"]
        lines += ["", f"{self.store}: {counted(self.scans, 'scan')} of {counted(self.patients, 'patient')}"]
        lines += [f"  {count} {modality}" for modality, count in sorted(self.modalities.items())]
        if self.patients_found:
            found, *examples = self.patients_found
            lines += _section(f"{found}, such as", examples)
        lines += _section("left out, by reason", [f"{n} x {r}" for r, n in _reasons(self.left_out)])
        lines += _section("same content", [f"{name} is {other}" for name, other in self.duplicates])
        lines += _section("notes", [f"{n} x {note}" for note, n in Counter(n for _, n in self.notes).most_common()])
        lines += _section("look at this", self.warnings)
        lines += _section("FAILED, not in the store", [_failure(*entry) for entry in self.failed])
        return "\n".join(lines)


def mixed_modalities(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a warning where scans of a store are scaled to [0, 1] in different ways, as CT and MR; else nothing.

    Args:
        records: of the manifest.
    """
    counts = Counter(record["modality"] for record in records)
    if len({default_intensity(modality).kind for modality in counts}) < 2:
        return []
    usual = counts.most_common(1)[0][0]
    rare = [record for record in records if record["modality"] != usual]
    shown = ", ".join(f"{count} {modality}" for modality, count in counts.most_common())
    judged = sum(record["modality_from"] == "values" for record in rare)
    told = (
        f"{judged} of the {len(rare)} that are not {usual} were judged by their values"
        if judged
        else f"that {len(rare)} of {len(records)} are not {usual} was said by their files or `--modality`"
    )
    named = ", ".join(record["key"] for record in rare[:3]) + (", ..." if len(rare) > 3 else "")
    return [
        f"the modalities are mixed, {shown}, and each is scaled to [0, 1] in its own way; {told} ({named}; "
        "private/sources.json names the files): if all are of one modality, prepare anew with --modality, else prepare "
        "each into a store of its own"
    ]


def _reasons(entries: list[tuple[str, str]]) -> list[tuple[str, int]]:
    return Counter(reason for _, reason in entries).most_common()


def _failure(name: str, reason: str) -> str:
    return reason if Path(name).name in reason else f"{name}: {reason}"


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  ... and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return ["", f"{title}:", *(f"  {line}" for line in lines[:_LISTED]), *more]


__all__ = ["Report", "mixed_modalities"]
