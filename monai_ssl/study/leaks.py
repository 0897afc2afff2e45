"""Data leakage check: test patients in the pre-training store, by content and by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.io.patient_hints import stem
from monai_ssl.store.layout import known_secret, pseudonym
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.splits import Split, save_split
from monai_ssl.study.cohorts import Cohort, ContentHashes


def held_back(store: Path, cohorts: Mapping[str, Cohort], hashes: ContentHashes) -> tuple[str, ...]:
    """Return the pseudonyms of a store whose patients are test patients of a task.

    A patient is known by a scan of equal content, or by its name where the store still has the secret that its
    pseudonyms were made with.

    Args:
        store: for pre-training.
        cohorts: of all tasks.
        hashes: of files.
    """
    _, records = read_manifest(store)
    cases = [case for cohort in cohorts.values() for case in cohort.test]
    contents = {hashes.of(case["image"]) for case in cases}
    pseudonyms = _pseudonyms(store, cases)
    return tuple(sorted({r["patient"] for r in records if r["source_hash"] in contents or r["patient"] in pseudonyms}))


def scans_of(store: Path, patients: Iterable[str]) -> list[str]:
    """Return the keys of the scans of some patients: the same for the same content, unlike pseudonyms."""
    _, records = read_manifest(store)
    chosen = set(patients)
    return sorted(record["key"] for record in records if record["patient"] in chosen)


def write_exclusion(patients: Iterable[str], path: Path) -> Path:
    """Write what the key ``exclude`` of a pre-training bundle reads."""
    save_split(Split({"test": tuple(patients)}, 0, {"test": 1.0}), path)
    return path


def _pseudonyms(store: Path, cases: Iterable[Case]) -> set[str]:
    secret = known_secret(store)
    if secret is None:
        return set()
    names = {name for case in cases for name in (patient_of(case), stem(Path(case["image"]).name))}
    return {pseudonym(secret, name) for name in names}
