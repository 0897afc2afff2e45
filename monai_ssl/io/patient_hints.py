"""Guess patients from file paths, for formats without a patient ID."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from monai_ssl.io import formats

_FORMATS = "|".join(re.escape(ending[1:]) for entry in formats.FORMATS for ending in (f".{entry.kind}", *entry.endings))
CONTAINER = re.compile(
    r"(images?|labels?|masks?|seg(mentations?)?|scans?|volumes?|pictures?|data(set)?|raw"
    rf"|{_FORMATS}"
    r"|cts?|mrs?|mris?|x-?rays?|us|ultrasound|train(ing)?|val(id|idation)?|test(ing)?|dev|all)(Tr|Ts|Va)?[-_ ]?\d*",
    re.IGNORECASE,
)
"""Names of folders that hold many patients."""

ROLE = re.compile(
    r"([-_ .](ct|mri?|t1w?|t1c|t1ce|t1gd|t1post|t1pre|t2w?|t2f|flair|adc|dwi|pd|pet|us|xr|image|img|scan|vol"
    r"|volume|orig|oar|seg|label|labels|mask|gt|\d{4}))+$",
    re.IGNORECASE,
)
"""What distinguishes the files of one patient: ``pt_17_ct``, ``pt_17_oar``, ``case_0001`` of several channels."""

MANY = 12
"""A folder with more files than this directly in it, or with all of more scans below it, is a collection."""


def patient_hints(places: Sequence[tuple[str, bool]], root: str) -> list[str]:
    """Return one guess a scan.

    It is the first folder below the root that is neither named like a collection nor as crowded as one; else the name
    of the file without extension and role. When in doubt, scans are taken to be of one patient, so that no
    patient stands on both sides of a split.

    Args:
        places: path of a scan relative to the root, and whether that is a folder (a DICOM series) or a file.
        root: name of the root, for a series that lies directly in it.
    """
    paths = [PurePosixPath(place) for place, _ in places]
    above = [_folders(path, folder) for path, (_, folder) in zip(paths, places, strict=True)]
    crowd = Counter(path.parent for path, (_, folder) in zip(paths, places, strict=True) if not folder)
    below = Counter(folder for folders in above for folder in folders)
    hints = []
    for path, folders, (_, folder) in zip(paths, above, places, strict=True):
        patients = [f.name for f in folders if max(crowd[f], below[f] if below[f] == len(paths) else 0) <= MANY]
        patient = next((name for name in patients if not CONTAINER.fullmatch(name)), None)
        hints.append(patient or (root if folder else stem(path.name)))
    return hints


def _folders(path: PurePosixPath, is_folder: bool) -> list[PurePosixPath]:
    """Return the folders below the root that lead to a scan, outermost first."""
    return [*reversed(path.parents)][1:] + ([path] if is_folder and path.name else [])


def stem(name: str) -> str:
    """Return a file's name without its extensions and the words that tell one patient's files apart."""
    base = formats.stem(name)
    # DICOM files may have any ending
    base = base if base != name else re.sub(r"\.[A-Za-z]\w{1,4}$", "", name)
    return ROLE.sub("", base) or base
