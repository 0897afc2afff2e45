"""What a user says of patients: a CSV of files and patients, or a regular expression for paths."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from monai_ssl.io.formats import stem
from monai_ssl.io.patient_hints import Rule

_FILES = ("image", "file", "filename", "path", "name", "image index", "folder")
_PATIENTS = ("patient", "patient id", "patient_id", "patientid", "subject", "subject_id", "subject id")


def patient_rule(said: str | Path) -> Rule:
    """Return what finds the patient of a path, relative to the root.

    Args:
        said: a ``*.csv`` with a column ``image`` (a path, a file's name or that of a folder, with or without ending)
            and a column ``patient``; or a regular expression that is searched in the path, whose group ``patient``,
            or else first group, or else match is the patient.

    Raises:
        FileNotFoundError: when there is no such table.
        ValueError: when it has other columns, names a file twice, or the expression is none.

    >>> rule = patient_rule(r"(?P<patient>s\\d+)_visit")
    >>> rule("mr/s07_visit2.nii.gz"), rule("mr/atlas.nii.gz")
    ('s07', None)
    """
    if str(said).lower().endswith(".csv"):
        return _of_table(Path(said))
    try:
        pattern = re.compile(str(said))
    except re.error as error:
        raise ValueError(f"`patients` is no table `*.csv`, and no regular expression either: {error}.") from error
    group = "patient" if "patient" in pattern.groupindex else min(1, pattern.groups)

    def search(path: str) -> str | None:
        found = pattern.search(path)
        return None if found is None else found[group]

    return search


def _of_table(path: Path) -> Rule:
    if not path.is_file():
        raise FileNotFoundError(f"There is no table of patients `{path}`; correct `patients`.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The table of patients `{path}` is no CSV in UTF-8 ({error}); save it again.") from error
    columns = {str(name).strip().lower(): name for name in (rows[0] if rows else {})}
    named = next((columns[name] for name in _FILES if name in columns), None)
    patient = next((columns[name] for name in _PATIENTS if name in columns), None)
    if named is None or patient is None:
        raise ValueError(f"The table of patients `{path}` needs the columns `image` and `patient`, and a row.")
    known: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row[named] and row[patient]:
            for key in _keys(row[named]):
                known[key].add(row[patient].strip())
        elif row[named]:
            raise ValueError(f"The table of patients `{path}` has no patient for {row[named]!r}.")

    def look_up(path: str) -> str | None:
        place = PurePosixPath(path.split("#")[0])
        for key in [str(place), stem(str(place)), place.name, stem(place.name), *map(str, place.parents)]:
            if key in known and key != ".":
                return _one(known[key], key)
        return next((_one(known[part], part) for part in reversed(place.parts[:-1]) if part in known), None)

    def _one(found: set[str], key: str) -> str:
        if len(found) > 1:
            raise ValueError(f"The table of patients `{path}` gives {key!r} to several patients: give longer paths.")
        return next(iter(found))

    return look_up


def _keys(named: str) -> set[str]:
    path = PurePosixPath(named.strip().rstrip("/"))
    return {str(path), stem(str(path)), path.name, stem(path.name)}
