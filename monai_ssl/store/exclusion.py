"""Patients of a store whom a split keeps out of pre-training, known by pseudonym or by the voxels of their scans."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from monai_ssl.store.content import NEAR, difference
from monai_ssl.store.scan import Scan
from monai_ssl.store.splits import load_split
from monai_ssl.store.store import Store

logger = logging.getLogger(__name__)


def excluded_patients(store: Store, split: str | Path) -> set[str]:
    """Return the patients of a store who are test patients of a split, made of this store or of another.

    Args:
        store: to pre-train on.
        split: file of :func:`monai_ssl.store.save_split`.

    Raises:
        ValueError: when the store does not know a test patient, neither by pseudonym nor by content.
    """
    read = load_split(split)
    test, here = set(read["test"]), set(store.patients)
    known = {patient: read.contents.get(patient, ()) for patient in test}
    strangers = sorted(patient for patient in test - here if not known[patient])
    if strangers:
        raise ValueError(
            f"{len(strangers)} of {len(test)} test patients of `exclude` {split} are not in {store.place}: it was made "
            "for another store, whose pseudonyms mean nothing here, so nobody knows whom to leave out. Pre-train on "
            "that store, or make the split with `split_by_patient(Store(PATH), ...)`, which keeps what their scans "
            "are known by."
        )
    unmarked = sum(not scan.content for scan in store)
    if unmarked and test - here:
        raise ValueError(
            f"{unmarked} scans of {store.place} have no hash of their voxels, so test patients of `exclude` {split} "
            "cannot be found in it: run `python -m monai_ssl prepare SRC STORE` again, which adds them."
        )
    contents = [scan for scans in known.values() for scan in scans]
    found = patients_with(store, (content for content, _ in contents)) | (test & here)
    warn_of_near(store, found, [look for _, look in contents], str(split))
    if test and not found:
        logger.warning("None of the %d test patients of `exclude` %s is in %s.", len(test), split, store.place)
    return found


def patients_with(scans: Iterable[Scan], contents: Iterable[str]) -> set[str]:
    """Return the patients that have a scan of one of some contents."""
    wanted = set(contents) - {""}
    return {scan.patient for scan in scans if scan.content in wanted}


def warn_of_near(scans: Iterable[Scan], excluded: Iterable[str], looks: Iterable[str], origin: str) -> list[str]:
    """Warn of scans that stay in but look like one that is kept out; return their keys."""
    out, known = set(excluded), set(looks) - {""}
    near = [
        scan.key
        for scan in scans
        if scan.patient not in out and any(difference(scan.look, look) <= NEAR for look in known)
    ]
    if near:
        logger.warning(
            "%d scans that are trained on look nearly like test scans of %s: %s. Look at them, and leave them out of "
            "the store if they are copies.",
            len(near),
            origin,
            ", ".join(near[:5]),
        )
    return near


__all__ = ["excluded_patients", "patients_with", "warn_of_near"]
