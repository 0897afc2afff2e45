"""Which files are label maps by their names; they must not be taken for images by accident."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from monai_ssl.io.formats import stem

_WORD = "seg|segs|segmentation|segmentations|label|labels|labelmap|mask|masks|oar|oars|roi|rois|gt|annotation"
_BRAIN = "dseg|probseg|aseg|wmparc|ribbon"
"""As BIDS and FreeSurfer end such names."""
_LABEL_STEM = re.compile(rf"(^|[-_. +])({_WORD}|{_BRAIN})[-_ ]?\d*$|^(aseg|aparc)[.+]", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(labels(tr|ts|val)?|masks|segmentations?|annotations)", re.IGNORECASE)


def looks_like_labels(name: str) -> bool:
    """Tell whether a file or folder is named like a label map, whatever its format.

    Args:
        name: path relative to the root.

    >>> looks_like_labels("pt_1_oar.nii.gz"), looks_like_labels("labelsTr/a.nii"), looks_like_labels("masked_t1.nii")
    (True, True, False)
    """
    path = PurePosixPath(name.split("#")[0])
    in_folder = any(_LABEL_FOLDER.fullmatch(part) for part in path.parts[:-1])
    return in_folder or bool(_LABEL_STEM.search(stem(path.name)))
