"""Results of a finished study in one small file, from which a study goes on elsewhere: no data, weights or names.

A job of a study has a key, the hash of all that decides its result: a result is taken where the key is the same, and
what has another key, because data, settings or bundles changed, is trained again.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.files import atomic, read_json, write_json
from monai_ssl.study.cohorts import Cohort
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, Job
from monai_ssl.study.pseudonyms import Pseudonyms

_BY_PATIENT = ("per_case", "pseudo_values")


def pack_results(folder: StudyFolder, path: Path) -> int:
    """Write the results of the finished cells of a study, with their pre-trainings and trials, as gzipped JSON.

    Test patients are numbers from 0, in the order of their names: without the data nobody is told.

    Returns:
        How many results it has.

    Raises:
        ValueError: when no cell has finished, or who is who is not in the folder any more.
    """
    cells = {key: cell for key, cell in folder.listed_cells().items() if folder.cell(key).is_done()}
    if not cells:
        raise ValueError(f"{folder.root} has no finished cell; run the study before its results are packed.")
    numbers = _numbers_of_test_patients(folder)
    needed = {key for cell in cells for key in folder.read_job(cell).needs}
    packed = {key: read_json(folder.finished(folder.read_job(key)).result) for key in needed}
    for key, cell in cells.items():
        result = {**read_json(folder.cell(key).result), "pictures": []}
        packed[key] = _renamed(result, numbers[str(cell["task"])])
    text = json.dumps(packed, sort_keys=True, allow_nan=False, separators=(",", ":"))
    with atomic(path) as file:
        file.write(gzip.compress(text.encode(), mtime=0))
    return len(packed)


def take_results(
    path: Path, folder: StudyFolder, jobs: Sequence[Job], cohorts: Mapping[str, Cohort], pseudonyms: Pseudonyms
) -> int:
    """Give the jobs of a study that have no result yet those of a packed file.

    Args:
        path: what :func:`pack_results` wrote.
        folder: of the study.
        jobs: of the study.
        cohorts: by task.
        pseudonyms: of patients.

    Returns:
        How many jobs got one.

    Raises:
        ValueError: when the file is not one of packed results.
    """
    packed = _read(path)
    tested = {task: cohort.patients()["test"] for task, cohort in cohorts.items()}
    hidden = {task: {str(n): pseudonyms.of(name) for n, name in enumerate(names)} for task, names in tested.items()}
    taking = [job for job in jobs if job.key in packed and not folder.finished(job).is_done()]
    for job in taking:
        result = packed[job.key]
        if isinstance(job, CellJob):
            try:
                result = _renamed(result, hidden[job.task])
            except (KeyError, AttributeError) as error:
                raise ValueError(f"{path} has no patients of the task {job.task} under {job.key}: {error}.") from error
        write_json(folder.finished(job).result, result)
    return len(taking)


def _numbers_of_test_patients(folder: StudyFolder) -> dict[str, dict[str, str]]:
    """Return the number of each test patient by pseudonym, for each task, in the order of their names."""
    names = Pseudonyms(folder.root).names
    split = read_json(folder.split, {})
    try:
        tested = {task: sorted(sections["test"], key=names.__getitem__) for task, sections in split.items()}
        return {task: {who: str(number) for number, who in enumerate(of)} for task, of in tested.items()}
    except KeyError as error:
        raise ValueError(
            f"{folder.root} does not say any more who the test patient {error} is: run the study again, which finds "
            "what is done, and pack it then."
        ) from error


def _renamed(result: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the result of a cell with its patients under other names."""
    of_patients = {key: {names[who]: score for who, score in result.get(key, {}).items()} for key in _BY_PATIENT}
    return {**result, **of_patients}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(gzip.decompress(path.read_bytes()))
    # nesting without end is the one damage that is no ValueError
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise ValueError(
            f"`results` of the study file: {path} cannot be read ({error}); make it by `python -m monai_ssl study "
            "STUDY.json --pack FILE`, or leave `results` out."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(result, dict) for result in content.values()):
        raise ValueError(f"`results` of the study file: {path} holds no results by the keys of jobs; leave it out.")
    return content
