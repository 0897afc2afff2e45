"""Patients in names of files and folders: BIDS, known data sets, and names without the words for series and visits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

KNOWN: tuple[tuple[str, str], ...] = (
    ("BIDS", r"(?:^|.*_)(sub-[0-9A-Za-z]+)"),
    ("BraTS", r"(BraTS-[A-Z]+-\d{4,5})(?:-\d{3})?"),
    ("BraTS", r"(BraTS1[789]_[0-9A-Z]+_[0-9A-Z]+)_\d+"),
    ("BraTS", r"(BraTS\d{2,4}(?:_(?:Training|Validation|Testing))?_\d+)"),
    ("NIH ChestX-ray14", r"(\d{8})_\d{3}$"),
    ("MIMIC", r"p(1\d{7})$"),
    ("ACDC or CheXpert", r"(patient\d{3,5})"),
    ("LUNA16, which tells series, not patients", r"(1\.3\.6\.1\.4\.1\.14519(?:\.\d+)+)"),
    ("OASIS", r"(?:^|.*_)(OAS[12]_\d{4}|OAS3\d{4}|OASIS_\d{4})"),
    ("LIDC", r"(LIDC-IDRI-\d{4})"),
    ("Decathlon", r"((?:BRATS|hippocampus|spleen|colon|hepaticvessel|la|liver|lung|pancreas|prostate)_\d{1,4})"),
    ("TCIA", r"(?:^|.*_)(TCGA-[0-9A-Z]{2}-[0-9A-Z]{4}|P_\d{5})"),
    ("ADNI", r"(?:^|.*_)(\d{3}_S_\d{4,5})"),
    ("Kermany", r"(?:CNV|DME|DRUSEN|NORMAL|BACTERIA|VIRUS)-(\d{4,})-\d+"),
    ("Kermany", r"(person\d+)_(?:bacteria|virus)_\d+"),
    ("Kermany", r"(?:NORMAL\d-)?(IM-\d{4})-\d{4}"),
    ("INbreast", r"\d{8}_([0-9a-f]{16})_MG"),
    ("ISBI 2015", r"((?:training|test)\d{2})_\d{2}_[a-z0-9]+_pp"),
    ("CT-RATE", r"((?:train|valid)_\d+)_[a-z]_\d+"),
)
"""Name of a data set, and what the name of its files or folders begins with; the group is the patient."""
_KNOWN = [(data_set, re.compile(rf"{pattern}(?![0-9A-Za-z])", re.IGNORECASE)) for data_set, pattern in KNOWN]

_VISIT = "ses|sess|session|visit|tp|timepoint|time|day|week|month|year|run|rep|repeat|acq|echo|phase|followup|fu"
_COUNTED = f"{_VISIT}|series|ser|frame|slice|view|bval|part|channel|ch|te|exam|study|scan"
_KIND = (
    "cta?|cect|ncct|ldct|mri?|mra|t1|t1w|t1c|t1ce|t1gd|t1post|t1pre|t1n|t2|t2w|t2f|t2star|flair|adc|dwi|dti|bold|pd"
    "|pdw|fd|ld|swi|pet|suv|us|xr|cxr|dx|image|img|im|vol|volume|orig|original|oar|roi|seg|labels?|mask|gt|pred"
    "|anat|func|fmap|perf|ktrans|hbv|dce|dsc|asl|mprage|tof"
)
_SIDE = "left|right|lt|rt|od|os|ax|axial|cor|coronal|sag|sagittal|tra|transverse|ap|pa|lat|lateral|frontal|mlo|cc"
_STATE = (
    "baseline|pre|post|preop|postop|before|after|arterial|venous|portal|delayed|native|contrast|ce|nc|ed|es|4d|rest"
    "|stress|inhale|exhale|insp|exp|supine|prone|initial|final|new|old"
)
_DONE = (
    "copy|of|raw|proc|processed|preproc|preprocessed|resampled|registered|reg|coreg|warped|brain|bet|stripped|n4"
    "|corrected|denoised|normalized|cropped|defaced|anon|anonymized"
)
_AFTER = r"\d+(?:d|w|m|mo|y|yr|days?|weeks?|months?|years?)"
_SERIES = rf"{_KIND}|{_SIDE}|{_STATE}|{_DONE}|b\d{{0,2}}[05]0"
_ROLE = re.compile(rf"({_SERIES}|{_AFTER}|(?:{_COUNTED})\d*)", re.IGNORECASE)
"""A word that tells the files of one patient apart."""
_GENERAL = re.compile(rf"({_SERIES}|{_AFTER}|(?:{_VISIT})\d*)", re.IGNORECASE)
"""Likewise, and no number of a patient: ``scan3`` may be one."""
_KIND_ONLY = re.compile(_SERIES, re.IGNORECASE)
_COUNTER = re.compile(_COUNTED, re.IGNORECASE)
_SHORT = re.compile(r"[a-z]|[vsmwyrxz]\d{1,3}", re.IGNORECASE)
"""Likewise, but not as the first word: ``s0001`` and ``v3`` may be patients."""
_DATE = re.compile(r"(19|20)\d\d((0[1-9]|1[0-2])([0-2]\d|3[01]))?|([0-2]\d|3[01]){2}(19|20)\d\d")
_DASHED = re.compile(r"(?<!\d)(?:((?:19|20)\d\d)([-_.])(\d\d)\2(\d\d)|(\d\d)([-_.])(\d\d)\6((?:19|20)\d\d))(?!\d)")
_ATOM = re.compile(r"[\d.]+|[0-9a-f]{16,}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""Numbers with dots, check sums and UUIDs are no words."""
_WORDS = re.compile(r"([-_ .+]*)([^-_ .+]+)")
_DIGIT = re.compile(r"\d")
_CHANNEL = re.compile(r"(?<=\d)_000\d$")
"""nnU-Net's number of a channel."""
_ATTACHED = re.compile(rf"(?<=\d)(?:[LR]|(?:{_VISIT})[-_]?\d*|(?<=\d\d)[TVW]\d{{1,3}})$", re.IGNORECASE)
"""A side or visit at the end of a number: ``p01V2``."""


class Known(NamedTuple):
    """A patient by the rules of a data set."""

    name: str
    data_set: str


def known(parts: Sequence[str]) -> Known | None:
    """Return the patient that a path names after BIDS or as a known data set does, if it does.

    Args:
        parts: of the path, the file without its ending last; the last one that names a patient counts.

    >>> known(["ds", "sub-03_ses-1_T1w"]), known(["p10", "p10000032", "s50414267", "4f2"])
    (Known(name='sub-03', data_set='BIDS'), Known(name='10000032', data_set='MIMIC'))
    """
    for data_set, pattern in _KNOWN:
        for part in reversed(parts):
            found = pattern.match(part)
            if found is not None:
                return Known(found[1], data_set)
    return None


def prefixes(name: str) -> list[str]:
    """Return what may be the patient in a name without ending, shortest first.

    Words for series, visits and sides are left out, dates too; what remains is cut behind each word with a digit.

    >>> prefixes("pt_17_ct"), prefixes("T1_p01"), prefixes("IM-0115-0001"), prefixes("anna_flair")
    (['pt_17'], ['p01'], ['0115', '0115-0001'], ['anna'])
    """
    if _ATOM.fullmatch(name):
        return [name]
    words = _identifying(_words(_CHANNEL.sub("", name))) or [("", name)]
    found, text = [], ""
    for before, word in words:
        text += before + word if text else word
        if _DIGIT.search(word):
            found.append(_ATTACHED.sub("", text))
    return found or [text]


def is_general(name: str) -> bool:
    """Whether a folder's name is that of series, visits or dates alone, each of which all patients have.

    >>> [is_general(name) for name in ("T1w", "ses-1", "visit2", "2019-03-11", "scan3", "anna_t1")]
    [True, True, True, True, False, False]
    """
    kept = [word for word, number in _numbered(_words(name)) if not number]
    return bool(kept) and all(_GENERAL.fullmatch(word) or _DATE.fullmatch(word) for word in kept)


def is_series(name: str) -> bool:
    """Whether a file's name is that of a series alone, such as ``t1`` or ``brain_mask``."""
    return all(_KIND_ONLY.fullmatch(word) for _, word in _words(name))


def _words(name: str) -> list[tuple[str, str]]:
    """Return the words of a name, each with what stands before it; a date is one word."""
    return _WORDS.findall(_DASHED.sub(lambda found: re.sub(r"\D", "", found[0]), name))


def _numbered(words: list[tuple[str, str]]) -> list[tuple[str, bool]]:
    """Return each word, and whether it is the number of the counter before it."""
    counting = [False, *(bool(_COUNTER.fullmatch(word)) for _, word in words)]
    return [(word, after and word.isdigit()) for (_, word), after in zip(words, counting, strict=False)]


def _identifying(words: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out roles, numbers that count them, dates; never everything."""
    kept: list[tuple[str, str]] = []
    dates: list[tuple[str, str]] = []
    for (before, word), (_, number) in zip(words, _numbered(words), strict=True):
        if number or _ROLE.fullmatch(word) or (kept and _SHORT.fullmatch(word)):
            continue
        (dates if _DATE.fullmatch(word) else kept).append((before, word))
    if not any(_DIGIT.search(word) for _, word in kept) and len(words) > 1:
        # a date, or a number behind a word like `scan`, is all that tells these files apart
        numbers = [pair for pair in words if _DIGIT.search(pair[1]) and not _ROLE.fullmatch(pair[1])]
        kept = kept or dates or numbers or words[:1]
    return kept or words[:1]
