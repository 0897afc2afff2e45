"""Patients of a store: pseudonyms by the hints of sources, one for all scans of equal content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monai_ssl.io.discovery import Source
from monai_ssl.io.patient_hints import TAG, USER
from monai_ssl.store.layout import source_key
from monai_ssl.store.sessions import sessions_of

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

Record = dict[str, Any]


def basis_of(source: Source) -> str:
    """Return what a record says of how its patient was found."""
    return {TAG: "dicom", USER: "user"}.get(source.patient_basis, "path")


def settled(
    records: Mapping[str, Record], sources: Mapping[str, Sequence[Source]], pseudonym: Callable[[str], str]
) -> list[Record]:
    """Return the records whose patient or session changes once all sources are known.

    Of sources with the same bytes the first by name counts. What was one patient before, has the same name now, or
    the same voxels under two names, is one patient; only what the user says separates again.

    Args:
        records: of the store, by key.
        sources: of this run, by the key of the scan or of its first part.
        pseudonym: of a name.
    """
    from scipy.cluster.hierarchy import DisjointSet

    one = DisjointSet()
    hinted: set[str] = set()
    patients = {key: str(record["patient"]) for key, record in records.items()}
    bases = {key: str(record["patient_from"]) for key, record in records.items()}
    parts: dict[str, list[str]] = defaultdict(list)
    for key in records:
        parts[source_key(key)].append(key)
    for key, found in sources.items():
        first = min(found, key=lambda source: source.name)
        name, basis = pseudonym(first.patient_hint), basis_of(first)
        for part in parts[source_key(key)]:
            if basis == "user":
                patients[part], bases[part] = name, basis
            elif bases[part] != "user":
                _join(one, patients[part], name)
                hinted.add(name)
    by_content: dict[str, str] = {}
    for key, patient in patients.items():
        content = records[key].get("content")
        if content:
            _join(one, by_content.setdefault(content, patient), patient)
    preferred = hinted | {patients[key] for key, basis in bases.items() if basis == "user"}
    chosen: dict[str, str] = {}
    for names in one.subsets():
        chosen |= dict.fromkeys(names, min(names, key=lambda name: (name not in preferred, name)))
    sessions = sessions_of(records, sources, pseudonym)
    known = (
        {
            **record,
            "patient": chosen.get(patients[key], patients[key]),
            "patient_from": bases[key],
            **sessions.get(key, {}),
        }
        for key, record in records.items()
    )
    return [record for record in known if record != records[record["key"]]]


def _join(names: DisjointSet, one: str, other: str) -> None:
    """Note down that two names mean one patient."""
    names.add(one)
    names.add(other)
    names.merge(one, other)
