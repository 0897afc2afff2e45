"""Lists of labeled images by section (training, validation, test): JSON or CSV, split by patient."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.io.listing import patient_id, place_of
from monai_ssl.io.patient_hints import LIST, Hint, Place, Rule, describe, doubt, patient_hints, patient_of_name

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
    if section != "training":
        # augmented copies are to be trained on only
        chosen = [case for case in chosen if not case.get("copy")]
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
    """Return the patient of a case: its entry ``patient``, else what the name of its image alone says."""
    return str(case.get("patient") or patient_of_name(str(case["image"])))


def name_patients(
    sections: Mapping[str, Sequence[Case]],
    root: Path,
    listed: Path | None = None,
    rule: Rule | None = None,
    collections: Collection[str] = (),
) -> dict[str, list[Case]]:
    """Return the cases, each with its ``patient``; say how they were found where the list does not tell.

    Args:
        sections: cases by section.
        root: folder of the data.
        listed: the data list, if there is one.
        rule: the user's way to tell patients by the path of an image.
        collections: names of folders that hold many patients, such as classes.

    Raises:
        ValueError: when a patient is in two sections of a list, or, for sure, of folders.
    """
    cases = [(section, case) for section, of in sections.items() for case in of]
    hints = _hints([case for _, case in cases], root, rule, collections)
    twice = _in_two([(section, hint) for (section, _), hint in zip(cases, hints, strict=True)])
    if twice is not None:
        text = f"{listed or root} has the {twice}"
        if listed or twice.is_sure:
            raise ValueError(text)
        _say(f"look: {text}")
    guessed = [(hint, Path(c["image"]).name) for (_, c), hint in zip(cases, hints, strict=True) if hint.basis != LIST]
    if guessed:
        found, *examples = describe(*map(list, zip(*guessed, strict=True)))
        doubts = doubt([hint for hint, _ in guessed])
        _say("\n  ".join([f"{listed or root}: {found}, such as", *examples, *([f"look: {doubts}"] if doubts else [])]))
    named: dict[str, list[Case]] = {section: [] for section in sections}
    for (section, case), hint in zip(cases, hints, strict=True):
        named[section].append({**case, "patient": hint.patient})
    return named


def _hints(cases: Sequence[Case], root: Path, rule: Rule | None, collections: Collection[str]) -> list[Hint]:
    places = [Path(case["image"]).absolute() for case in cases]
    # a folder that holds all of them tells nobody apart
    base = Path(os.path.commonpath([place.parent for place in places])) if places else root
    found = [
        Place(p.relative_to(base).as_posix(), p.is_dir(), "" if case.get("patient") else patient_id(p))
        for p, case in zip(places, cases, strict=True)
    ]
    hints = patient_hints(found, base.resolve().name, rule, collections)
    return [Hint(str(c["patient"]), LIST) if c.get("patient") else h for c, h in zip(cases, hints, strict=True)]


class _Twice(NamedTuple):
    """A patient in two sections."""

    hint: Hint
    sections: tuple[str, str]

    @property
    def is_sure(self) -> bool:
        return self.hint.is_sure

    def __str__(self) -> str:
        how = "" if self.hint.basis == LIST else f" (as found by {self.hint.basis})"
        return (
            f"patient {self.hint.patient!r} in {self.sections[0]} and in {self.sections[1]}{how}: a network would be "
            "judged by whom it knows. Move the images into one section; or, if they are of different patients, say so "
            "in the column or entry `patient` of a data list, or by the key `patients`, a table or expression."
        )


def _in_two(hints: Sequence[tuple[str, Hint]]) -> _Twice | None:
    """Return a patient in two sections, one that is known for sure before others."""
    seen: dict[str, str] = {}
    found = [_Twice(h, (seen[h.patient], s)) for s, h in hints if seen.setdefault(h.patient, s) != s]
    return min(found, key=lambda twice: not twice.is_sure, default=None)


@cache
def _say(text: str) -> None:
    """Print once what each section of the same data would repeat."""
    print(text)


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
