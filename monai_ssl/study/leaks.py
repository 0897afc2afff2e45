"""Data leakage check: test patients in the pre-training store, by content and by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.io.patient_hints import candidates
from monai_ssl.store.exclusion import patients_with, warn_of_near
from monai_ssl.store.layout import known_secret, pseudonym
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.splits import Split, save_split
from monai_ssl.store.store import Store
from monai_ssl.study.cohorts import ContentHashes

logger = logging.getLogger(__name__)


def held_back(store: Path, cases: Sequence[Case], hashes: ContentHashes) -> tuple[str, ...]:
    """Return the pseudonyms of a store whose patients are those of some cases.

    A patient is known by a scan of equal bytes or voxels, or by its name where the store still has the secret that its
    pseudonyms were made with. Scans that are nearly equal are warned of.

    Args:
        store: for pre-training.
        cases: such as the test cases of all tasks.
        hashes: of files.
    """
    scans = Store(store).scans
    _, records = read_manifest(store)
    if not all(scan.content for scan in scans):
        logger.warning(
            "%s was written by version 0.1: test patients are found in it by name and file, not by voxels. Prepare it "
            "again with `python -m monai_ssl prepare`, which adds what is missing.",
            store,
        )
    contents = {hashes.of(case["image"]) for case in cases}
    voxels = [hashes.voxels_of(case["image"]) for case in cases]
    pseudonyms = _pseudonyms(store, cases)
    found = {r["patient"] for r in records if r["source_hash"] in contents or r["patient"] in pseudonyms}
    found |= patients_with(scans, (content for content, _ in voxels))
    warn_of_near(scans, found, (look for _, look in voxels), "the tasks")
    return tuple(sorted(found))


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
    names = {name for case in cases for name in {patient_of(case), *candidates(case["image"])}}
    return {pseudonym(secret, name) for name in names}
