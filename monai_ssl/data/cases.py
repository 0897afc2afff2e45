"""Lists of labeled images by section (training, validation, test): JSON or CSV, split by patient."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.io.formats import stem
from monai_ssl.io.listing import place_of

Case = dict[str, Any]
"""``image``, ``label`` and, where listed, ``patient``."""
SECTIONS = ("training", "validation", "test")


def select_section(
    sections: Mapping[str, Sequence[Case]],
    section: str,
    *,
    val_share: float = 0.2,
    train_cases: int | None = None,
    seed: int = 0,
    origin: str,
    remedy: str,
    value: Callable[[Case], float] | None = None,
) -> list[Case]:
    """Return one section; without one of its own, validation takes ``val_share`` of the training patients.

    Args:
        sections: cases by section.
        section: ``"training"``, ``"validation"`` or ``"test"``.
        val_share: in (0, 1).
        train_cases: keep that many training patients; smaller numbers are subsets of larger ones.
        seed: of the split.
        origin: of the cases, for messages.
        remedy: what to give instead of an empty section.
        value: see :func:`pick_patients`.

    Raises:
        ValueError: for another section, or one without cases.
    """
    check_choice(SECTIONS, section=section)
    check_interval("(0, 1)", val_share=val_share)
    chosen = list(sections.get(section, ()))
    if section == "training" or (section == "validation" and not chosen):
        training = sections.get("training", ())
        patients = {patient_of(case) for case in training}
        count = 0 if sections.get("validation") else max(1, round(val_share * len(patients)))
        keep = set(pick_patients(training, count, str(seed), value))
        if section == "training":
            keep = set(sorted(patients - keep, key=_by_hash(str(seed)))[:train_cases])
        chosen = [case for case in training if patient_of(case) in keep]
    if not chosen:
        raise ValueError(f"{origin} has no cases for {section}: give {remedy}.")
    return chosen


def pick_patients(
    cases: Sequence[Case], count: int, salt: str, value: Callable[[Case], float] | None = None
) -> list[str]:
    """Choose patients by a hash of their names and ``salt``; with ``value``, one from each of ``count`` quantiles.

    Args:
        cases: one or several a patient.
        count: how many; all where there are fewer.
        salt: another one is another choice.
        value: of a case, over which the choice is spread evenly; a patient has the mean of its cases.

    >>> cases = [{"image": f"p{i}.nii", "label": [float(i)]} for i in range(9)]
    >>> [name[1] in digits for name, digits in zip(pick_patients(cases, 3, "0", lambda c: c["label"][0]),
    ...                                            ("012", "345", "678"))]
    [True, True, True]
    """
    by_hash = _by_hash(salt)
    order = sorted({patient_of(case) for case in cases}, key=by_hash)
    if value is None or not 0 < count < len(order):
        return order[:count]
    values: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        values[patient_of(case)].append(value(case))
    ranked = sorted(order, key=lambda name: float(np.mean(values[name])))
    return [min(group.tolist(), key=by_hash) for group in np.array_split(np.array(ranked, dtype=object), count)]


def patient_of(case: Case) -> str:
    """Return the patient of a case: its entry ``patient``, else the name of its image."""
    return str(case.get("patient") or stem(Path(case["image"]).name))


def is_there(place: Path) -> bool:
    """Whether a listed file, folder or series exists; a name that no system takes does not."""
    try:
        return place_of(place)[0].exists()
    except (OSError, ValueError):
        return False


def list_file(root: Path, datalist: str | Path | None, names: Sequence[str]) -> Path | None:
    """Return the data list that was asked for, else the first of ``names`` that is in ``root``."""
    if datalist:
        path = Path(datalist)
        return path if path.is_absolute() or path.is_file() else root / path
    return next((root / name for name in names if (root / name).is_file()), None)


def read_list(path: Path, root: Path, paths: Sequence[str], columns: str) -> dict[str, list[Case]]:
    """Read a data list: a CSV with a column ``section``, or JSON in the style of the Medical Segmentation Decathlon.

    Args:
        path: ``*.csv``; anything else is read as JSON: lists ``training``, ``validation``, ``test`` of objects.
        root: what relative paths start from, else from the list itself.
        paths: entries that are files.
        columns: what a list needs beside ``image``, in words for messages.

    Raises:
        FileNotFoundError: when the list or a file in it does not exist.
        ValueError: when it is no such list.
    """
    try:
        sections = _csv_sections(path, columns) if path.suffix.lower() == ".csv" else _json_sections(path, columns)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no data list `{path}`; correct `datalist`.") from error
    return {name: [_resolved(entry, paths, root, path) for entry in entries] for name, entries in sections.items()}


def _by_hash(salt: str) -> Callable[[str], str]:
    return lambda name: hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()


def _json_sections(path: Path, columns: str) -> dict[str, list[Case]]:
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The data list `{path}` is not valid JSON ({error}).") from error
    if not isinstance(content, Mapping) or "training" not in content:
        raise ValueError(f"The data list `{path}` needs a list `training` of objects with `image`, and {columns}.")
    for section in SECTIONS:
        if not isinstance(content.get(section, []), list):
            raise ValueError(f"`{section}` of the data list `{path}` is no list.")
    # the Decathlon lists its test images without labels, as bare names: they cannot be evaluated
    return {s: [dict(entry) for entry in content.get(s, []) if isinstance(entry, Mapping)] for s in SECTIONS}


def _csv_sections(path: Path, columns: str) -> dict[str, list[Case]]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The data list `{path}` is no CSV in UTF-8 ({error}); save it again.") from error
    if not rows or "image" not in rows[0] or len(rows[0]) < 2:
        raise ValueError(f"The data list `{path}` needs a column `image`, and {columns}.")
    sections: dict[str, list[Case]] = {name: [] for name in SECTIONS}
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"Line {number} of the data list `{path}` has not as many columns as the first line.")
        section = row.pop("section", "") or "training"
        if section not in SECTIONS:
            raise ValueError(f"`section` in `{path}` must be one of {SECTIONS}, got {section!r}.")
        sections[section].append(row)
    return sections


def _resolved(entry: Case, paths: Sequence[str], root: Path, listed_in: Path) -> Case:
    case = {key: value for key, value in entry.items() if key != "patient" or value}
    for key in paths:
        if key not in case:
            raise ValueError(f"An entry of the data list `{listed_in}` has no `{key}`: {entry}.")
        if not isinstance(case[key], str):
            raise ValueError(f"`{key}` in the data list `{listed_in}` must be a path, got {case[key]!r}.")
        places = [folder / case[key] for folder in (root, listed_in.parent)]
        found = next((place for place in places if is_there(place)), None)
        if found is None:
            raise FileNotFoundError(
                f"`{case[key]}` of the data list `{listed_in}` does not exist under {places[0].parent}."
            )
        case[key] = str(found)
    return case
