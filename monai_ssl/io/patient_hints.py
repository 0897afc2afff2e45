"""Who is a patient: the one place that decides it, for `prepare`, data lists and studies; in doubt, together.

What the user says counts first, then DICOM's PatientID, then the names of BIDS and known data sets, then the folders
and the names of files.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from monai_ssl.errors import counted
from monai_ssl.io import formats
from monai_ssl.io.patient_names import is_general, is_series, known, prefixes

_FORMATS = "|".join(re.escape(ending[1:]) for entry in formats.FORMATS for ending in (f".{entry.kind}", *entry.endings))
CONTAINER = re.compile(
    r"((images?|labels?|masks?|seg(mentations?)?|scans?|volumes?|pictures?|data(set)?|raw|subset|fold|batch|part|site"
    rf"|cent(er|re)|{_FORMATS}|cts?|mrs?|mris?|x-?rays?|us|ultrasound|train(ing)?|val(id|idation)?|test(ing)?|dev|all)"
    # with a number, these are of one patient
    r"(Tr|Ts|Va)?[-_ ]?\d*|negatives?|positives?|benign|malignant|normal|abnormal|healthy|controls?|patients?"
    r"|(Task|Dataset)\d+_\w+)",
    re.IGNORECASE,
)
"""Names of folders that hold many patients."""

MANY = 12
"""More volumes than this directly in a folder, or folders, or all of more scans, and it is a collection."""
_PICTURES = 50
"""More pictures than this on average in folders named by words, and these are classes."""

USER, TAG, LIST = "the user", "PatientID of DICOM", "the data list"
FOLDERS, NAMES = "folders", "file names"
NUMBERS = "the first number in names with several"
CROWDED = "folders of many pictures"
GENERAL = "numbers of folders with general names"
WEAK = frozenset((NUMBERS, CROWDED, GENERAL))
"""Ways that are no more than a guess."""
REMEDY = "`--patients FILE.csv` or `--patients REGEX`"

Rule = Callable[[str], str | None]
"""Returns the patient of a path, if it can tell; see :func:`monai_ssl.io.patient_rule.patient_rule`."""


class Place(NamedTuple):
    """Where a scan lies.

    Args:
        path: relative to the root, with ``/``.
        is_folder: whether that is a folder (a DICOM series) or a file.
        tag: PatientID of its header.
    """

    path: str
    is_folder: bool = False
    tag: str = ""


class Hint(NamedTuple):
    """The patient of a scan.

    Args:
        patient: the name; as private as the path.
        basis: how it was found, in words.
    """

    patient: str
    basis: str

    @property
    def is_weak(self) -> bool:
        return self.basis in WEAK

    @property
    def is_sure(self) -> bool:
        """Whether it was read, not concluded from how files lie and are named."""
        return not self.is_weak and self.basis not in (FOLDERS, NAMES)


def patient_hints(
    places: Sequence[Place], root: str, rule: Rule | None = None, collections: Collection[str] = ()
) -> list[Hint]:
    """Return the patient of each scan.

    Args:
        places: of all scans at once, since how many are named alike says what names mean.
        root: name of the root, for a series that lies directly in it.
        rule: the user's.
        collections: names of folders that hold many patients, such as classes.

    >>> [hint.patient for hint in patient_hints([Place("sub-1_ses-1_T1w.nii.gz"), Place("p2/t1.nii")], "root")]
    ['sub-1', 'p2']
    """
    folders = _Folders(places, collections)
    found = [_said(place, rule) or _known(place) for place in places]
    units = [folders.unit(place, root) for place in places]
    open_ones = [unit for hint, unit in zip(found, units, strict=True) if hint is None]
    # a folder counts once, a file each time
    of_folders = _identities(sorted({unit.name for unit in open_ones if unit.is_folder}))
    of_files = _identities([unit.name for unit in open_ones if not unit.is_folder])
    hints = []
    for hint, unit in zip(found, units, strict=True):
        if hint is None:
            patient, is_guess = (of_folders if unit.is_folder else of_files)[unit.name]
            hint = Hint(patient, NUMBERS if is_guess else unit.basis)
        hints.append(hint)
    return _one_spelling(hints)


def patient_of_name(name: str) -> str:
    """Return the patient of a file alone, by its name.

    >>> patient_of_name("pt_17_ct.nii.gz"), patient_of_name("pt_17_oar.nii.gz")
    ('pt_17', 'pt_17')
    """
    return patient_hints([Place(PurePosixPath(name).name)], "")[0].patient


def candidates(path: str) -> set[str]:
    """Return every name that a file's patient could have been given, the files around it unknown."""
    parts = PurePosixPath(path).parts
    base = base_name(parts[-1]) if parts else path
    return {base, *prefixes(base), patient_of_name(base)}


def describe(hints: Sequence[Hint], names: Sequence[str]) -> list[str]:
    """Say how patients were found, with three examples.

    Args:
        hints: of scans.
        names: of the same scans, as they are shown.
    """
    counts = Counter(hint.basis for hint in hints)
    ways = ", ".join(f"by {basis} ({count})" for basis, count in counts.most_common())
    lines = [f"{counted(len({hint.patient for hint in hints}), 'patient')} in {counted(len(hints), 'scan')}, {ways}"]
    shown: dict[str, str] = {}
    # weak ones first, since these must be looked at
    for hint, name in sorted(zip(hints, names, strict=True), key=lambda pair: not pair[0].is_weak):
        shown.setdefault(hint.patient, name)
    lines += [f"{name} is of {patient!r}" for patient, name in list(shown.items())[:3]]
    return lines


def doubt(hints: Sequence[Hint]) -> str | None:
    """Say that patients are a guess, where they are."""
    weak = sum(hint.is_weak for hint in hints)
    if not weak:
        return None
    return (
        f"the patients of {weak} scans are a guess: what may be of one patient is kept together, so there may be more "
        f"patients than were found; look at the examples, and say it better with {REMEDY}"
    )


def base_name(name: str) -> str:
    """Return a file's name without its ending; DICOM files may have any."""
    base = formats.stem(name)
    return base if base != name else re.sub(r"\.[A-Za-z]\w{1,4}$", "", name)


def _one_spelling(hints: Sequence[Hint]) -> list[Hint]:
    """Give names that were concluded one spelling where case or leading zeros differ: ``Pat7`` is ``pat007``."""
    first: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for name in sorted({hint.patient for hint in hints if hint.basis not in (USER, TAG)}):
        spelled[name] = first.setdefault(re.sub(r"(?<!\d)0+(?=\d)", "", name.casefold()), name)
    return [hint if hint.basis in (USER, TAG) else hint._replace(patient=spelled[hint.patient]) for hint in hints]


def _said(place: Place, rule: Rule | None) -> Hint | None:
    said = (rule(place.path) or "").strip() if rule else ""
    tag = place.tag.strip()
    return Hint(said, USER) if said else Hint(tag, TAG) if tag else None


def _known(place: Place) -> Hint | None:
    *folders, last = PurePosixPath(place.path).parts or (place.path,)
    found = known([*folders, last if place.is_folder else base_name(last)])
    return None if found is None else Hint(found.name, f"names of {found.data_set}")


def _identities(names: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return what of each name is the patient, and whether that is a guess.

    The shortest beginning that tells at least two patients apart, none of which has most of the names.
    """
    cut = {name: prefixes(name) for name in names}
    deepest = max((len(found) for found in cut.values()), default=0)
    for level in range(deepest):
        groups = Counter(cut[name][: level + 1][-1] for name in names)
        if len(names) == 1 or (len(groups) > 1 and max(groups.values()) <= max(MANY, len(names) // 2)):
            break
    else:
        level = deepest
    chosen = {name: found[: level + 1][-1] for name, found in cut.items()}
    whole: dict[str, set[str]] = defaultdict(set)
    for name, found in cut.items():
        whole[chosen[name]].add(found[-1])
    return {name: (patient, len(whole[patient]) > 1) for name, patient in chosen.items()}


class _Unit(NamedTuple):
    """What is named after a patient: a folder, or a file for itself."""

    name: str
    is_folder: bool
    basis: str


class _Folders:
    """The folders between the root and the scans: which of them is that of a patient."""

    def __init__(self, places: Sequence[Place], collections: Collection[str]) -> None:
        self.collections, self.total = set(collections), len(places)
        self.below: Counter[PurePosixPath] = Counter()
        self.children: dict[PurePosixPath, set[PurePosixPath]] = defaultdict(set)
        self.files: dict[PurePosixPath, list[str]] = defaultdict(list)
        for place in places:
            path, above = PurePosixPath(place.path), _above(place)
            self.below.update(above)
            for folder in above:
                self.children[folder.parent].add(folder)
            if not place.is_folder:
                self.files[path.parent].append(path.name)

    def unit(self, place: Place, root: str) -> _Unit:
        """Return the outermost folder that holds one patient, else the file."""
        above = _above(place)
        for folder in above:
            if CONTAINER.fullmatch(folder.name) or folder.name in self.collections or self._is_of_series(folder):
                continue
            if self.below[folder] == self.total > MANY or len(self.children.get(folder, ())) > MANY:
                continue
            if len(self.files.get(folder, ())) <= MANY:
                return _Unit(folder.name, True, FOLDERS)
            if self._is_patient_with_pictures(folder):
                return _Unit(folder.name, True, CROWDED)
        name = base_name(PurePosixPath(place.path).name)
        if place.is_folder or not is_series(name):
            return _Unit(root if place.is_folder else name, False, NAMES)
        numbered = [folder for folder in above if re.search(r"\d", folder.name) and not is_general(folder.name)]
        return _Unit(numbered[-1].name, True, GENERAL) if numbered else _Unit(root or name, False, NAMES)

    def _is_of_series(self, folder: PurePosixPath) -> bool:
        """Whether a folder holds a series or visit of all patients; years stand beside years."""
        beside = [other.name for other in self.children[folder.parent]]
        if is_general(folder.name):
            return not folder.name.isdigit() or all(map(is_general, beside))
        # as in IXI-T1 and IXI-T2
        heads = {prefixes(name)[0] for name in beside}
        return len(heads) == 1 < len(beside) and not re.search(r"\d", "".join(heads))

    def _is_patient_with_pictures(self, folder: PurePosixPath) -> bool:
        """Patients have folders with numbers, or the same names of pictures in each; classes have neither."""
        pictures = self.files[folder]
        if not all(_is_picture(name) for name in pictures):
            return False
        others = [set(self.files[other]) for other in self.children[folder.parent] if other != folder]
        if not any(others):
            return False
        recurring = max(len(set(pictures) & other) for other in others) >= len(pictures) / 2
        numbered = bool(re.search(r"\d", folder.name)) and len(folder.name) > 1
        average = sum(map(len, others), len(pictures)) / (len(others) + 1)
        return recurring or numbered or average <= _PICTURES


def _is_picture(name: str) -> bool:
    entry = formats.format_of(name)
    return entry is not None and entry.is_picture


def _above(place: Place) -> list[PurePosixPath]:
    """Return the folders below the root that lead to a scan, outermost first."""
    path = PurePosixPath(place.path)
    return [*reversed(path.parents)][1:] + ([path] if place.is_folder and path.name else [])
