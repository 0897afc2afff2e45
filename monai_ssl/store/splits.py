"""Splits by patient: training, validation, test, nested label fractions; seeded, stable, kept on disk."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_ssl.files import read_json, write_json
from monai_ssl.store.store import Store

DEFAULT_FRACTIONS: Mapping[str, float] = {"train": 0.7, "val": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Split:
    """Patients by part.

    Args:
        parts: pseudonyms of each part, sorted.
        seed: it was drawn with.
        fractions: it was drawn for.
        contents: of each patient, where a store was split: ``content`` and ``look`` of the scans, by which another
            store knows them.
    """

    parts: Mapping[str, tuple[str, ...]]
    seed: int
    fractions: Mapping[str, float]
    contents: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    def __getitem__(self, part: str) -> tuple[str, ...]:
        if part not in self.parts:
            raise KeyError(f"The split has no part `{part}`; it has {', '.join(self.parts)}.")
        return self.parts[part]

    def pretraining(self, allow_test: bool = False) -> tuple[str, ...]:
        """Return the patients to pre-train on: the part ``train``, without labels.

        Args:
            allow_test: add the part ``test``; results on it are then no longer those of unseen patients.
        """
        if not allow_test:
            return self["train"]
        warnings.warn(
            "Pre-training sees the test patients (`allow_test=True`): scores on them say nothing about new patients.",
            UserWarning,
            stacklevel=2,
        )
        return tuple(sorted((*self["train"], *self["test"])))


def split_by_patient(
    patients: Iterable[str] | Store, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, seed: int = 0
) -> Split:
    """Assign each patient to a part, by a hash of ``seed`` and pseudonym alone.

    So another patient moves nobody, at the price that the parts have the sizes asked for only on average. Of a few
    patients a part may remain empty: it then gets the one whose hash is nearest to it.

    Args:
        patients: a store, so that the split can keep its test patients out of other stores, too; or pseudonyms, one or
            more times each.
        fractions: of each part; they add up to 1.
        seed: another seed, another split.

    Raises:
        ValueError: when the fractions do not add up to 1, or there are fewer patients than parts.
    """
    if not fractions or any(f <= 0 for f in fractions.values()) or not math.isclose(sum(fractions.values()), 1):
        raise ValueError(f"`fractions` must be positive and add up to 1, got {dict(fractions)}.")
    contents: Mapping[str, tuple[tuple[str, str], ...]] = {}
    if isinstance(patients, Store):
        contents = contents_of(patients)
        patients = patients.patients
    unique = sorted(set(patients))
    if len(unique) < len(fractions):
        raise ValueError(
            f"{len(unique)} patients cannot be split into {len(fractions)} parts: give more, or fewer parts."
        )
    parts = _assign(unique, fractions, seed)
    _fill(parts, fractions, seed)
    return Split({part: tuple(sorted(members)) for part, members in parts.items()}, seed, dict(fractions), contents)


def contents_of(store: Store) -> dict[str, tuple[tuple[str, str], ...]]:
    """Return ``content`` and ``look`` of the scans of each patient; nothing of scans that have none."""
    found: dict[str, list[tuple[str, str]]] = {}
    for scan in store:
        if scan.content:
            found.setdefault(scan.patient, []).append((scan.content, scan.look))
    return {patient: tuple(scans) for patient, scans in found.items()}


def label_fractions(
    patients: Iterable[str], sizes: Sequence[int | float | str], seed: int = 0
) -> dict[str, tuple[str, ...]]:
    """Choose labeled patients for experiments with few labels; each larger choice contains the smaller ones.

    Args:
        patients: pseudonyms, usually the training part.
        sizes: number of patients (int), share of them (float in (0, 1), rounded up) or ``"all"``.
        seed: another seed, another choice.

    Returns:
        Sorted pseudonyms, by ``str(size)``.

    Raises:
        ValueError: when a size is none of these, or more than there are.
    """
    order = sorted(set(patients), key=lambda patient: _uniform(patient, seed, "labels"))
    return {str(size): tuple(sorted(order[: _number(size, len(order))])) for size in sizes}


def save_split(split: Split, path: str | Path) -> None:
    """Write a split as JSON, whole or not at all."""
    parts = {part: list(members) for part, members in split.parts.items()}
    content = {"seed": split.seed, "fractions": dict(split.fractions), "parts": parts}
    if split.contents:
        content["contents"] = {patient: list(map(list, scans)) for patient, scans in split.contents.items()}
    write_json(Path(path), content)


def load_split(path: str | Path) -> Split:
    """Read a split.

    Raises:
        ValueError: when the file is not a split, or a patient is in two parts.
    """
    try:
        content = read_json(Path(path))
        parts = {part: tuple(members) for part, members in content["parts"].items()}
        contents = {
            str(patient): tuple((str(scan), str(look)) for scan, look in scans)
            for patient, scans in content.get("contents", {}).items()
        }
        split = Split(parts, content["seed"], content["fractions"], contents)
        members = [patient for part in parts.values() for patient in part]
        if not all(isinstance(patient, str) for patient in members):
            raise TypeError("a patient is no text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a split written by `save_split` ({error}): make it again.") from error
    if len(members) != len(set(members)):
        raise ValueError(f"{path} has a patient in two parts: make it again with `split_by_patient`.")
    return split


def _assign(patients: Sequence[str], fractions: Mapping[str, float], seed: int) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {part: [] for part in fractions}
    names = list(fractions)
    for patient in patients:
        position, chosen = _uniform(patient, seed, "split"), names[-1]
        for part in names:
            position -= fractions[part]
            if position < 0:
                chosen = part
                break
        parts[chosen].append(patient)
    return parts


def _fill(parts: dict[str, list[str]], fractions: Mapping[str, float], seed: int) -> None:
    """Move into each empty part the patient nearest to its share of [0, 1), out of a part that has several."""
    end = 0.0
    for part, fraction in fractions.items():
        start, end = end, end + fraction
        if not parts[part]:
            spare = [(patient, of) for of in parts.values() if len(of) > 1 for patient in of]
            places = {patient: _uniform(patient, seed, "split") for patient, _ in spare}
            nearest, left = min(spare, key=lambda pair: max(start - places[pair[0]], places[pair[0]] - end))
            left.remove(nearest)
            parts[part].append(nearest)


def _uniform(patient: str, seed: int, purpose: str) -> float:
    digest = hashlib.sha256(f"{purpose}:{seed}:{patient}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _number(size: int | float | str, available: int) -> int:
    if size == "all":
        return available
    if isinstance(size, float) and 0 < size < 1:
        return math.ceil(size * available)
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size <= available:
        return size
    raise ValueError(
        f"A size must be a number of patients from 1 to {available}, a share between 0 and 1, or 'all'; got {size!r}."
    )


__all__ = ["DEFAULT_FRACTIONS", "Split", "label_fractions", "load_split", "save_split", "split_by_patient"]
