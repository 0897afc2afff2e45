"""Test patients stay out of pre-training: found in its store by content, and by name."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from monai_ssl.data.datalist import Case, patient_of
from monai_ssl.files import read_json
from monai_ssl.io.patient_hints import stem
from monai_ssl.store.layout import MANIFEST, PRIVATE
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
    records = read_json(store / MANIFEST)["scans"]
    cases = [case for cohort in cohorts.values() for case in cohort.test]
    contents = {hashes.of(case["image"]) for case in cases}
    pseudonyms = _pseudonyms(store, cases)
    return tuple(sorted({r["patient"] for r in records if r["source_hash"] in contents or r["patient"] in pseudonyms}))


def write_exclusion(patients: Iterable[str], path: Path) -> Path:
    """Write what the key ``exclude`` of a pre-training bundle reads."""
    save_split(Split({"test": tuple(patients)}, 0, {"test": 1.0}), path)
    return path


def _pseudonyms(store: Path, cases: Iterable[Case]) -> set[str]:
    secret = store / PRIVATE / "secret"
    if not secret.is_file():
        return set()
    names = {name.strip() for case in cases for name in (patient_of(case), stem(Path(case["image"]).name))}
    return {hmac.new(secret.read_bytes(), name.encode(), hashlib.sha256).hexdigest()[:12] for name in names}
