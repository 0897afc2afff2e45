"""Bundles and data sets as a study file names them: relative to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_ssl.bundle_folders import bundle_folder

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


def place(named: Any, base: Path) -> str:
    """Return a ``dataset_dir`` as an absolute path, or the kind of phantoms that it asks for."""
    return str(named) if str(named).startswith(PHANTOMS) else str((base / str(named)).resolve())
