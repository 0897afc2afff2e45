"""Patients of a store: pseudonyms by the hints of sources, one for all scans of equal content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from monai_ssl.io.discovery import Source
from monai_ssl.io.patient_hints import TAG, USER

Record = dict[str, Any]


def basis_of(source: Source) -> str:
    """Return what a record says of how its patient was found."""
    return {TAG: "dicom", USER: "user"}.get(source.patient_basis, "path")


def settled(
    records: Mapping[str, Record], sources: Mapping[str, Sequence[Source]], pseudonym: Callable[[str], str]
) -> list[Record]:
    """Return the records whose patient changes once all sources are known.

    Of sources with the same bytes the first by name counts. What was one patient before, has the same name now, or
    the same voxels under two names, is one patient; only what the user says separates again.

    Args:
        records: of the store, by key.
        sources: of this run, by the key of the scan or of its first part.
        pseudonym: of a name.
    """
    one = _Union()
    hinted: set[str] = set()
    patients = {key: str(record["patient"]) for key, record in records.items()}
    bases = {key: str(record["patient_from"]) for key, record in records.items()}
    parts: dict[str, list[str]] = defaultdict(list)
    for key in records:
        parts[key.split("-")[0]].append(key)
    for key, found in sources.items():
        first = min(found, key=lambda source: source.name)
        name, basis = pseudonym(first.patient_hint), basis_of(first)
        for part in parts[key.split("-")[0]]:
            if basis == "user":
                patients[part], bases[part] = name, basis
            elif bases[part] != "user":
                one.join(patients[part], name)
                hinted.add(name)
    by_content: dict[str, str] = {}
    for key, patient in patients.items():
        content = records[key].get("content")
        if content:
            one.join(by_content.setdefault(content, patient), patient)
    chosen = one.chosen(hinted | {patients[key] for key, basis in bases.items() if basis == "user"})
    return [
        {**record, "patient": chosen.get(patients[key], patients[key]), "patient_from": bases[key]}
        for key, record in records.items()
        if chosen.get(patients[key], patients[key]) != record["patient"] or bases[key] != record["patient_from"]
    ]


def same_content(records: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the groups of scans that hold the same voxels."""
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        if record.get("content"):
            groups[record["content"]].append(record)
    return [group for group in groups.values() if len(group) > 1]


class _Union:
    """Names that mean the same."""

    def __init__(self) -> None:
        self.above: dict[str, str] = {}

    def root(self, name: str) -> str:
        while self.above.setdefault(name, name) != name:
            name = self.above[name]
        return name

    def join(self, one: str, other: str) -> None:
        self.above[self.root(one)] = self.root(other)

    def chosen(self, preferred: Iterable[str]) -> dict[str, str]:
        """Return for each name the one that stands for all of its meaning, a preferred one where there is one."""
        wanted = set(preferred)
        groups: dict[str, list[str]] = defaultdict(list)
        for name in self.above:
            groups[self.root(name)].append(name)
        best = {root: min(names, key=lambda name: (name not in wanted, name)) for root, names in groups.items()}
        return {name: best[self.root(name)] for name in self.above}
