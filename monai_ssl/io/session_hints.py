"""Which visit a scan is of, and in which frame its coordinates count: BIDS entities, or DICOM's study and frame."""

from __future__ import annotations

import re
from typing import NamedTuple

_ENTITY = re.compile(r"(?:^|[/_])(sub|ses|space)-([0-9A-Za-z]+)")


class Session(NamedTuple):
    """Names of a visit and of a frame of coordinates; scans of one frame are co-registered.

    Args:
        visit: as private as a path; empty where nothing tells.
        frame: the same.
    """

    visit: str = ""
    frame: str = ""


UNKNOWN = Session()


def session_of_path(path: str) -> Session:
    """Return the session that a path names by the entities of BIDS, the last of each counting; none for other paths.

    Without ``space`` coordinates are the scanner's, which scans of one session share.

    >>> session_of_path("ds/sub-03/ses-1/anat/sub-03_ses-1_T1w")
    Session(visit='sub-03/ses-1', frame='sub-03/ses-1/scanner')
    >>> session_of_path("sub-03_space-T1w_FLAIR").frame, session_of_path("p03/t1").visit
    ('sub-03/ses-/T1w', '')
    """
    found = dict(_ENTITY.findall(path))
    if "sub" not in found:
        return UNKNOWN
    visit = f"sub-{found['sub']}/ses-{found.get('ses', '')}"
    return Session(visit, f"{visit}/{found.get('space', 'scanner')}")


__all__ = ["UNKNOWN", "Session", "session_of_path"]
