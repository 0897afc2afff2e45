"""Guess from paths which scans are of one patient, for files that do not say it themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

CONTAINER = re.compile(
    r"(images?|labels?|masks?|seg(mentations?)?|scans?|volumes?|pictures?|data(set)?|raw|nifti|nii|dicom|dcm|png|jpe?g"
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
"""A folder with more files than this directly in it is a collection, not a patient: nobody has as many volumes."""


def patient_hints(places: Sequence[tuple[str, bool]], root: str) -> list[str]:
    """Return one guess a scan.

    It is the first folder below the root that is neither named like a collection nor holds as many files as one; else
    the name of the file without extension and role. When in doubt, scans are taken to be of one patient, so that no
    patient stands on both sides of a split.

    Args:
        places: path of a scan relative to the root, and whether that is a folder (a DICOM series) or a file.
        root: name of the root, for a series that lies directly in it.
    """
    paths = [PurePosixPath(place) for place, _ in places]
    crowd = Counter(path.parent for path, (_, folder) in zip(paths, places, strict=True) if not folder)
    hints = []
    for path, (_, folder) in zip(paths, places, strict=True):
        above = [*reversed(path.parents)][1:] + ([path] if folder and path.name else [])
        patient = next((f.name for f in above if not CONTAINER.fullmatch(f.name) and crowd[f] <= MANY), None)
        hints.append(patient or (root if folder else stem(path.name)))
    return hints


def stem(name: str) -> str:
    """Return a file's name without its extensions and the words that tell one patient's files apart."""
    base = re.sub(r"(\.nii)?(\.gz)?$|\.[A-Za-z]\w{1,4}$", "", name, flags=re.IGNORECASE)
    return ROLE.sub("", base) or base
