"""Cases of a task in a study: fixed test patients, nested training subsets, data lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from monai_ssl.data.cases import Case, patient_of, pick_patients
from monai_ssl.data.copies import with_copies
from monai_ssl.data.imbalance import imbalanced_subset, largest_total
from monai_ssl.files import read_json, write_json
from monai_ssl.io.listing import files_at, source_at
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError
from monai_ssl.store.content import content_of
from monai_ssl.store.conversion.convert import content_hash
from monai_ssl.store.splits import label_fractions
from monai_ssl.study.plan import StudyTask
from monai_ssl.study.plan.bundle_files import digest
from monai_ssl.study.pseudonyms import Pseudonyms

_SPLIT_SEED = 0


@dataclass(frozen=True)
class Cohort:
    """The cases of a task by section.

    Args:
        training: to choose labels from.
        validation: for the learning curve, and for ``select`` ``"best"``; never counted among the labels.
        test: what all scores are computed on.
    """

    training: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]

    def patients(self) -> dict[str, list[str]]:
        """Return the sorted patients of each section."""
        return {section: sorted({patient_of(c) for c in getattr(self, section)}) for section in self.__annotations__}


def read_cohort(task: StudyTask, dataset_dir: Path) -> Cohort:
    """Read the cases of a task and set test patients apart where the data does not.

    Which patients these are depends on the data only, so that a study on the same data has the same test.

    Raises:
        ValueError: when too few patients remain to train on.
    """
    training, validation = (_cases(task, dataset_dir, section) for section in ("training", "validation"))
    try:
        test = _cases(task, dataset_dir, "test")
    except ValueError:
        test = []
    if not test:
        patients, others = ({patient_of(case) for case in cases} for cases in (training, validation))
        count = max(1, round(task.test_share * (len(patients) + len(others))))
        if len(patients) - count < 1:
            raise ValueError(
                f"`tasks#{task.name}`: {dataset_dir} has too few patients to keep {count} for the test and "
                f"{len(others)} for validation; give more, or smaller shares."
            )
        chosen = set(pick_patients(training, count, f"test:{_SPLIT_SEED}", task.task.spread))
        test = [case for case in training if patient_of(case) in chosen]
        training = [case for case in training if patient_of(case) not in chosen]
    cohort = Cohort(tuple(training), tuple(validation), tuple(test))
    _check_apart(cohort, task.name)
    return cohort


def subsets(
    cohort: Cohort, sizes: Sequence[int | float | str], seed: int, task: StudyTask
) -> dict[int, tuple[Case, ...]]:
    """Return training cases by their number of patients; each larger choice contains the smaller ones.

    Args:
        cohort: of the task.
        sizes: numbers, shares or ``"all"``.
        seed: another one is another choice.
        task: where it has a ratio of the rare class to the other one, sizes count images, and ``"all"`` are as many as
            the ratio allows; copies of images are with them, which count as images then, and as no patients.

    Raises:
        ValueError: when there are fewer than asked for, or the task has not two classes to choose by.
    """
    try:
        if task.imbalance is not None:
            return _imbalanced(with_copies(cohort.training, task.copies), sizes, seed, task.imbalance)
        chosen = label_fractions(cohort.patients()["training"], sizes, seed)
    except ValueError as error:
        raise ValueError(f"`labels` for `tasks#{task.name}`: {error}") from error
    cases = with_copies(cohort.training, task.copies) if task.copies else cohort.training
    return {len(of): tuple(c for c in cases if patient_of(c) in of) for of in map(set, chosen.values())}


def _imbalanced(
    training: Sequence[Case], sizes: Sequence[int | float | str], seed: int, ratio: float
) -> dict[int, tuple[Case, ...]]:
    images: dict[Any, list[str]] = defaultdict(list)
    copies: dict[Any, list[str]] = defaultdict(list)
    for case in training:
        (copies if "copy" in case else images)[str(case["label"])].append(_entry_name(case))
    if len(images) != 2:
        raise ValueError(f"`imbalance` is for classifications of two classes, the training cases have {len(images)}.")
    rare, frequent = sorted(images, key=lambda label: len(images[label]))
    if copies[frequent]:
        raise ValueError("`copies` beside `imbalance` are of the rare class, not of the frequent one.")
    few, many, spare = images[rare], images[frequent], copies[rare]
    largest = largest_total(ratio, len(few) + len(spare), len(many))
    totals = [len(numbers) for numbers in label_fractions(map(str, range(largest)), sizes).values()]
    pick = partial(imbalanced_subset, few, many, ratio=ratio, seed=seed, copies=spare)
    chosen = {total: set(pick(total=total)) for total in totals}
    return {total: tuple(c for c in training if _entry_name(c) in of) for total, of in chosen.items()}


def _entry_name(case: Case) -> str:
    return f"{case['image']} copy {case['copy']}" if "copy" in case else str(case["image"])


def write_list(
    task: StudyTask, cohort: Cohort, training: Sequence[Case], path: Path, hide: Callable[[str], str] = str
) -> None:
    """Write the data list of a training with some of the training cases, patients under what ``hide`` returns."""
    of = {"training": training, "validation": cohort.validation, "test": cohort.test}
    sections = {name: [{**case, "patient": hide(patient_of(case))} for case in cases] for name, cases in of.items()}
    task.task.write_list(sections, path)


def fix_split(cohorts: Mapping[str, Cohort], path: Path, pseudonyms: Pseudonyms) -> None:
    """Write who is in which section, or check that it is as it was when the study began.

    The names that a former version wrote are replaced.

    Raises:
        ValueError: when the data changed since then.
    """
    named = {name: cohort.patients() for name, cohort in cohorts.items()}
    now = {name: pseudonyms.sections(sections) for name, sections in named.items()}
    before = read_json(path)
    if before is not None:
        before = {name: now[name] if sections == named.get(name) else sections for name, sections in before.items()}
    if before is None:
        write_json(path, now)
    elif any(before.get(name, sections) != sections for name, sections in now.items()):
        raise ValueError(
            f"The patients or sections of a task differ from those in {path}, with which this study began: give "
            "another `output_dir` for the changed data."
        )
    else:
        write_json(path, {**before, **now})


class ContentHashes:
    """Hashes of files, remembered by path, size and time of change.

    Args:
        path: JSON file of the memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, str] = read_json(path, {})

    def of(self, named: str | Path) -> str:
        """Return the hash of the files of a scan, as :func:`monai_ssl.store.prepare` makes it."""
        place = Path(named).resolve()
        files = files_at(place)
        stats = [file.stat() for file in files]
        signature = digest([str(place), [[s.st_size, s.st_mtime_ns] for s in stats]])
        if signature not in self.known:
            self.known[signature] = content_hash(files)
        return self.known[signature]

    def voxels_of(self, named: str | Path) -> tuple[str, str]:
        """Return ``content`` and ``look`` of a scan, as :mod:`monai_ssl.store.content` makes them; none if unread."""
        key = f"voxels {self.of(named)}"
        if key not in self.known:
            try:
                found = content_of(read(source_at(Path(named)))[0].array)
            except (ReadError, OSError):
                return "", ""
            self.known[key] = f"{found['content']} {found['look']}"
        content, _, look = self.known[key].partition(" ")
        return content, look

    def save(self) -> None:
        write_json(self.path, self.known)


def fingerprint(cohort: Cohort, training: Sequence[Case], hashes: ContentHashes) -> str:
    """Return a hash of what a training with some of the training cases reads: contents and sections, no paths."""
    sections = (training, cohort.validation, cohort.test)
    return digest([sorted(_identity(case, hashes) for case in of) for of in sections])


def _identity(case: Case, hashes: ContentHashes) -> list[str]:
    copy = [str(case["copy"])] if "copy" in case else []
    return [patient_of(case), hashes.of(case["image"]), _truth(case, hashes), *copy]


def _truth(case: Case, hashes: ContentHashes) -> str:
    return hashes.of(case["label"]) if isinstance(case["label"], (str, Path)) else str(case["label"])


def _cases(task: StudyTask, dataset_dir: Path, section: str) -> list[Case]:
    share, said = task.val_share, task.patients
    return task.task.cases(section, dataset_dir, task.datalist, val_share=share, seed=_SPLIT_SEED, patients=said)


def _check_apart(cohort: Cohort, name: str) -> None:
    seen: dict[str, str] = {}
    for section, patients in cohort.patients().items():
        for patient in patients:
            if patient in seen:
                raise ValueError(
                    f"`tasks#{name}`: patient {patient} is in {seen[patient]} and in {section}: correct the data list."
                )
            seen[patient] = section
