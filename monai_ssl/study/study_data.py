"""Data of a study: samples generated, scans prepared once, test patients set apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import nibabel as nib
from PIL import Image

from monai_ssl.data.cases import Case, patient_of
from monai_ssl.samples.phantom import CT_EXTENT, centered_affine, phantom_ct, phantom_xray
from monai_ssl.store.prepare import PrepareOptions, prepare
from monai_ssl.store.store import Store
from monai_ssl.study.cohorts import Cohort, ContentHashes, fix_split, read_cohort
from monai_ssl.study.execution import first_cause
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, Job, PretrainingJob
from monai_ssl.study.leaks import held_back, scans_of, write_exclusion
from monai_ssl.study.matrix import CellMaker, pretraining_job
from monai_ssl.study.packed_results import take_results
from monai_ssl.study.plan import PHANTOMS, Pretraining, Study, StudyTask
from monai_ssl.study.plan.networks import check_network
from monai_ssl.study.pseudonyms import Pseudonyms
from monai_ssl.study.tuning import with_trials

_PATIENTS = 10
_RADIOGRAPHS = 28
_CT_SHAPE = (48, 40, 32)
_XRAY_SHAPE = (64, 64)


@dataclass(frozen=True)
class Prepared:
    """A study that can begin.

    Args:
        jobs: pre-trainings, then trials, then cells.
        cohorts: patients of each task.
        held_back: by method, how many test patients were found in its data and are not pre-trained on.
        taken: how many jobs got their result from the packed results of the study.
    """

    jobs: tuple[Job, ...]
    cohorts: Mapping[str, Cohort]
    held_back: Mapping[str, int]
    taken: int = 0

    @property
    def cells(self) -> list[CellJob]:
        return [job for job in self.jobs if isinstance(job, CellJob)]


def prepare_study(study: Study, folder: StudyFolder) -> Prepared:
    """Bring the data of a study into its folder and return what is to be done.

    Raises:
        ValueError: when data is missing, too small, or not what it was when the study began, or a method cannot be
            built.
    """
    hashes = ContentHashes(folder.hashes)
    cohorts = {task.name: read_cohort(task, _place(task.dataset_dir, folder)) for task in study.tasks}
    pseudonyms = Pseudonyms(folder.root)
    fix_split(cohorts, folder.split, pseudonyms)
    pretrainings = _Pretrainings(study, folder, cohorts, hashes)
    for name, method in pretrainings.methods.items():
        check_network(method, pretrainings.stores[name])
    cells = CellMaker(study, cohorts, hashes, folder, pseudonyms).cells(pretrainings.job)
    trials, cells = with_trials(cells, study.tune, study.seeds[: study.tune_seeds])
    hashes.save()
    listed: list[Job] = [*pretrainings.jobs.values(), *trials, *cells]
    jobs = tuple({job.key: job for job in listed}.values())
    for job in jobs:
        folder.write_job(job)
    taken = 0 if study.results is None else take_results(study.results, folder, jobs, cohorts, pseudonyms)
    pseudonyms.save()
    return Prepared(jobs, cohorts, pretrainings.found, taken)


def look_at_data(study: Study) -> tuple[list[str], list[str]]:
    """Say in a line each what a study would find in its data, and what keeps it from starting; nothing is written."""
    places = dict.fromkeys(method.dataset_dir for method in study.pretraining if method.bundle is not None)
    looks: list[tuple[str, Callable[[], str]]] = [
        (f"task {task.name}", partial(_patients, task)) for task in study.tasks
    ]
    looks += [("pre-training", partial(_scans, place)) for place in places]
    found, missing = [], []
    for name, look in looks:
        try:
            found.append(f"{name}: {look()}")
        except (ValueError, OSError) as error:
            missing.append(f"{name} CANNOT START: {error}")
    return found, missing + [f"pre-training CANNOT START: {reason}" for reason in _not_built(study)]


def _not_built(study: Study) -> Iterator[str]:
    for method in (method for method in study.pretraining if method.bundle is not None):
        place = Path(method.dataset_dir)
        try:
            # a folder of scans would be prepared on the way
            check_network(method, place if Store.is_store(place) else place / "not prepared yet")
        except ValueError as error:
            # a memory bank is as large as the store that is not there yet
            if not isinstance(first_cause(error), FileNotFoundError):
                yield str(error)


def _patients(task: StudyTask) -> str:
    if task.dataset_dir.startswith(PHANTOMS):
        return f"{task.dataset_dir}, made on the spot"
    patients = read_cohort(task, Path(task.dataset_dir)).patients()
    return ", ".join(f"{len(some)} {section} patients" for section, some in patients.items())


def _scans(dataset_dir: str) -> str:
    if dataset_dir.startswith(PHANTOMS):
        return f"{dataset_dir}, made on the spot"
    if not Path(dataset_dir).exists():
        raise FileNotFoundError(f"There is no folder `{dataset_dir}`; correct `dataset_dir`.")
    if Store.is_store(Path(dataset_dir)):
        return f"{len(Store(dataset_dir))} scans in the store {dataset_dir}"
    return f"{dataset_dir} is not a store; it will be prepared once"


class _Pretrainings:
    """Pre-trainings of a study, each made when a cell asks for it; those that are alike are one job.

    Args:
        study: checked.
        folder: of the study.
        cohorts: by task.
        hashes: of files.
    """

    def __init__(self, study: Study, folder: StudyFolder, cohorts: Mapping[str, Cohort], hashes: ContentHashes) -> None:
        self.study, self.folder, self.hashes = study, folder, hashes
        self.methods = {method.name: method for method in study.pretraining if method.bundle is not None}
        self.stores = {name: self._store(method) for name, method in self.methods.items()}
        self.content = {store: Store(store).fingerprint for store in set(self.stores.values())}
        self.test = () if study.allow_leak else tuple(case for cohort in cohorts.values() for case in cohort.test)
        self.jobs: dict[str, PretrainingJob] = {}
        self._patients = cache(self._patients_of)
        self._exclusions = cache(self._excluded)
        # how many test patients the data of each method has
        self.found = {name: len(self._patients(store, _images(self.test))) for name, store in self.stores.items()}

    def job(self, seed: int, labeled: Sequence[Case], name: str) -> PretrainingJob | None:
        """Return the job of a method that cells of a seed start from; ``None`` for weights that are given."""
        if name not in self.methods:
            return None
        store = self.stores[name]
        out = _images(self.test) + (_images(labeled) if self.study.leave_out_labeled else ())
        exclude, scans = self._exclusions(store, out)
        own = seed if self.study.pretrain == "per_seed" else None
        made = pretraining_job(
            self.methods[name], store.resolve(), self.content[store], exclude.resolve(), list(scans), own
        )
        return self.jobs.setdefault(made.key, made)

    def _store(self, method: Pretraining) -> Path:
        source = _place(method.dataset_dir, self.folder, labeled=False)
        store = source if Store.is_store(source) else self.folder.store(source, method.patients)
        if store != source:
            if not source.exists():
                raise ValueError(f"`pretraining#{method.name}#dataset_dir` names {source}, which does not exist.")
            prepare(source, store, PrepareOptions(patients=method.patients))
        return store

    def _patients_of(self, store: Path, images: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
        cases = [{"image": image, "patient": patient} for image, patient in images]
        return held_back(store, cases, self.hashes) if cases else ()

    def _excluded(self, store: Path, images: tuple[tuple[str, str], ...]) -> tuple[Path, tuple[str, ...]]:
        patients = self._patients(store, images)
        return write_exclusion(patients, self.folder.exclusion(store, patients)), tuple(scans_of(store, patients))


def _images(cases: Sequence[Case]) -> tuple[tuple[str, str], ...]:
    """Return image and patient of each case: what tells who it is."""
    return tuple((str(case["image"]), patient_of(case)) for case in cases)


def _place(dataset_dir: str, folder: StudyFolder, labeled: bool = True) -> Path:
    """Return the folder of a data set; of phantoms without labels, as for pre-training, that of the images."""
    if not dataset_dir.startswith(PHANTOMS):
        return Path(dataset_dir)
    kind = dataset_dir.removeprefix(PHANTOMS)
    if kind not in ("ct", "xray"):
        raise ValueError(f"`dataset_dir` {dataset_dir!r}: phantoms are {PHANTOMS}ct or {PHANTOMS}xray.")
    root = folder.phantoms(kind)
    if not root.is_dir():
        aside = root.with_name(f".aside-{kind}")
        shutil.rmtree(aside, ignore_errors=True)
        (_write_ct if kind == "ct" else _write_xray)(aside)
        aside.rename(root)
    return root.resolve() if labeled or kind == "xray" else (root / "imagesTr").resolve()


def _write_ct(root: Path) -> None:
    affine = centered_affine(CT_EXTENT, _CT_SHAPE)
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for number in range(_PATIENTS):
        for name, array in zip(("imagesTr", "labelsTr"), phantom_ct(number, _CT_SHAPE), strict=True):
            nib.save(nib.Nifti1Image(array, affine), root / name / f"phantom{number:03d}.nii.gz")


def _write_xray(root: Path) -> None:
    """Write radiographs of two classes, as they are and with a bright square in the left half; list their lung area.

    They are more than a folder of one patient would hold, see :data:`monai_ssl.io.patient_hints.MANY`.
    """
    rows = ["image,value"]
    for number in range(_RADIOGRAPHS):
        array, lungs = phantom_xray(number, _XRAY_SHAPE)
        picture = array.astype("float32")
        name = ("negative", "positive")[number % 2]
        if name == "positive":
            picture[10:22, 20:32] += 0.3 * picture.max()
        scaled = (255 * picture / picture.max()).astype("uint8")
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(scaled.T).save(root / name / f"radiograph{number:03d}.png")
        rows.append(f"{name}/radiograph{number:03d}.png,{100 * lungs.mean():.3f}")
    (root / "lung_area.csv").write_text("\n".join(rows))
