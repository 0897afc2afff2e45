"""Bundles and data sets as a study file names them: relative to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.io.patient_rule import patient_rule

PHANTOMS = "phantoms:"
"""``dataset_dir`` of this form is generated: ``phantoms:ct`` with labels, ``phantoms:xray`` of two classes.

The latter has ``lung_area.csv``, a list for regression."""


def named_bundle(named: str, base: Path, key: str) -> Path:
    """Return the folder of a bundle, one of this package or a path.

    Raises:
        ValueError: when there is none; ``key`` names the place.
    """
    try:
        return bundle_folder(named, base)
    except ValueError as error:
        raise ValueError(f"`{key}`: {error}") from error


def patients_said(entry: Mapping[str, Any], default: str | None, base: Path, key: str) -> str | None:
    """Return how an entry says who is a patient: a table, whose path starts from the study file, or an expression.

    Raises:
        ValueError: when there is no such table, or it is none; ``key`` names the place.
    """
    said = entry.get("patients")
    if said is None:
        return default
    if not isinstance(said, str) or not said:
        raise ValueError(f"`{key}#patients` must be a table `*.csv` or a regular expression, got {said!r}.")
    said = str((base / said).resolve()) if said.lower().endswith(".csv") else said
    try:
        patient_rule(said)
    except (ValueError, OSError) as error:
        raise ValueError(f"`{key}#patients`: {error}") from error
    return said


def place(named: Any, base: Path) -> str:
    """Return a ``dataset_dir`` as an absolute path, or the kind of phantoms that it asks for."""
    return str(named) if str(named).startswith(PHANTOMS) else str((base / str(named)).resolve())
