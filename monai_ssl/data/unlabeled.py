"""Unlabeled images for a training that also has labels, without the patients that are held out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from monai_ssl.data.cases import Case, name_patients, patient_of
from monai_ssl.io.listing import files_at, images_below
from monai_ssl.store.conversion.convert import content_hash

_logger = logging.getLogger(__name__)


def unlabeled_cases(folder: str | Path | None, training: Sequence[Case], held_out: Sequence[Case]) -> list[Case]:
    """Return the training images without their labels, and those of a folder but of patients that are held out.

    Such a patient is known by the name, or by an image whose files are those of a held-out one.

    Args:
        folder: of images, in folders of their own or not; ``None``: the training images alone.
        training: labeled cases.
        held_out: cases of validation and test, whose patients must not be learned from.

    Raises:
        ValueError: when there is no image in the folder.

    >>> unlabeled_cases(None, [{"image": "a.png", "label": 1, "patient": "p1"}], [])
    [{'image': 'a.png', 'patient': 'p1'}]
    """
    known = [{"image": case["image"], "patient": patient_of(case)} for case in training]
    if folder is None:
        return known
    found: list[Case] = [{"image": str(entry.path)} for entry in images_below(Path(folder))]
    if not found:
        raise ValueError(f"There is no image in {folder}; correct `unlabeled_dir`.")
    named = name_patients({"unlabeled": found}, Path(folder))["unlabeled"]
    patients = {patient_of(case) for case in held_out}
    # a list may name a patient otherwise than the folder does
    patients |= {patient_of(case) for case in _copies(named, held_out)}
    seen = {Path(case["image"]).resolve() for case in [*training, *held_out]}
    new = [c for c in named if patient_of(c) not in patients and Path(c["image"]).resolve() not in seen]
    _logger.info(
        "%d unlabeled images beside %d labeled ones; %d others are of patients that are held out, or are labeled.",
        len(new),
        len(known),
        len(named) - len(new),
    )
    return known + new


def _copies(cases: Sequence[Case], held_out: Sequence[Case]) -> list[Case]:
    """Return the cases whose files are those of a held-out one; only files of equal size are read."""
    sizes = {_size(case) for case in held_out}
    contents = {content_hash(files_at(case["image"])) for case in held_out}
    return [case for case in cases if _size(case) in sizes and content_hash(files_at(case["image"])) in contents]


def _size(case: Case) -> int:
    return sum(file.stat().st_size for file in files_at(case["image"]))
