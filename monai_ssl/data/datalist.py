"""Segmentation data lists (Decathlon JSON or folders), split by patient."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.io.formats import stem
from monai_ssl.io.listing import place_of, scans_below

Case = dict[str, Any]
SECTIONS = ("training", "validation", "test")


def segmentation_cases(
    section: str,
    dataset_dir: str | Path,
    datalist: str | Path | None = None,
    *,
    val_share: float = 0.2,
    train_cases: int | None = None,
    seed: int = 0,
) -> list[Case]:
    """Return the cases of one section: dictionaries with the paths ``image`` and ``label``.

    Without a section of its own, validation takes ``val_share`` of the training patients; which ones depends on
    ``seed`` and their names only.

    Args:
        section: ``"training"``, ``"validation"`` or ``"test"``.
        dataset_dir: holds ``imagesTr`` and ``labelsTr`` (``imagesTs`` and ``labelsTs`` for test) with equal file
            names, or what ``datalist`` refers to.
        datalist: JSON in the style of the Medical Segmentation Decathlon; its paths are relative to ``dataset_dir``
            or to the JSON itself. An entry may name its ``patient``. When ``None``, ``dataset_dir/datalist.json`` or
            ``dataset.json`` is used if there is one, else the folders.
        val_share: in (0, 1).
        train_cases: keep that many training patients; smaller numbers are subsets of larger ones.
        seed: of the split.

    Raises:
        FileNotFoundError: when a listed file does not exist.
        ValueError: when there is nothing to train on or a label is missing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("imagesTr/p1.nii.gz", "imagesTr/p2.nii.gz", "labelsTr/p1.nii.gz", "labelsTr/p2.nii.gz"):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Path(folder, name).touch()
        ...     parts = [segmentation_cases(part, folder, val_share=0.5) for part in ("training", "validation")]
        >>> [len(part) for part in parts], sorted(parts[0][0])
        ([1, 1], ['image', 'label'])
    """
    root = Path(dataset_dir)
    listed = _list_file(root, datalist)
    sections = _from_folders(root) if listed is None else _from_json(root, listed)
    remedy = "images with labels in `imagesTr` and `labelsTr`, or a `datalist` that lists at least two patients"
    return select_section(
        sections,
        section,
        val_share=val_share,
        train_cases=train_cases,
        seed=seed,
        origin=str(listed or root),
        remedy=remedy,
    )


def select_section(
    sections: Mapping[str, Sequence[Case]],
    section: str,
    *,
    val_share: float,
    train_cases: int | None,
    seed: int,
    origin: str,
    remedy: str,
) -> list[Case]:
    """Return one section, where validation may have to be taken from training; see :func:`segmentation_cases`.

    When it is empty, the error names ``origin`` and what to give instead, ``remedy``.
    """
    check_choice(SECTIONS, section=section)
    if section == "test" or (section == "validation" and sections.get("validation")):
        chosen = list(sections.get(section, ()))
    else:
        chosen = _divide(sections, section, val_share, train_cases, seed)
    if not chosen:
        raise ValueError(f"{origin} has no cases for {section}: give {remedy}.")
    return chosen


def _divide(
    sections: Mapping[str, Sequence[Case]], section: str, val_share: float, train_cases: int | None, seed: int
) -> list[Case]:
    check_interval("(0, 1)", val_share=val_share)
    cases = sections.get("training", ())
    patients = sorted({patient_of(case) for case in cases}, key=lambda name: _order(name, seed))
    held_out = 0 if sections.get("validation") else max(1, round(val_share * len(patients)))
    val, train = patients[:held_out], patients[held_out:]
    keep = set(val if section == "validation" else train[:train_cases])
    return [case for case in cases if patient_of(case) in keep]


def patient_of(case: Case) -> str:
    """Return the patient of a case: its entry ``patient``, else the name of its image."""
    return str(case.get("patient") or stem(Path(case["image"]).name))


def is_there(place: Path) -> bool:
    """Whether a listed file, folder or series exists; a name that no system takes does not."""
    try:
        return place_of(place)[0].exists()
    except (OSError, ValueError):
        return False


def _order(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _list_file(root: Path, datalist: str | Path | None) -> Path | None:
    if datalist:
        path = Path(datalist)
        return path if path.is_absolute() or path.is_file() else root / path
    return next((root / name for name in ("datalist.json", "dataset.json") if (root / name).is_file()), None)


def _from_json(root: Path, path: Path) -> dict[str, list[Case]]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no data list `{path}`; correct `datalist`.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The data list `{path}` is not valid JSON ({error}).") from error
    if not isinstance(content, Mapping) or "training" not in content:
        raise ValueError(f"The data list `{path}` needs a list `training` of {{'image': ..., 'label': ...}}.")
    # the Decathlon lists its test images without labels, as bare names: they cannot be evaluated
    for section in SECTIONS:
        if not isinstance(content.get(section, []), list):
            raise ValueError(f"`{section}` of the data list `{path}` is no list.")
    labeled = {s: [entry for entry in content.get(s, []) if isinstance(entry, Mapping)] for s in SECTIONS}
    return {name: [_resolved(entry, root, path) for entry in entries] for name, entries in labeled.items()}


def _resolved(entry: Mapping[str, Any], root: Path, listed_in: Path) -> Case:
    case = dict(entry)
    for key in ("image", "label"):
        if key not in case:
            raise ValueError(f"An entry of the data list `{listed_in}` has no `{key}`: {dict(entry)}.")
        if not isinstance(case[key], str):
            raise ValueError(f"`{key}` in the data list `{listed_in}` must be a path, got {case[key]!r}.")
        places = [folder / case[key] for folder in (root, listed_in.parent)]
        found = next((place for place in places if is_there(place)), None)
        if found is None:
            raise FileNotFoundError(
                f"`{case[key]}` of the data list `{listed_in}` does not exist under {places[0].parent}."
            )
        case[key] = str(found)
    return case


def _from_folders(root: Path) -> dict[str, list[Case]]:
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder `{root}`; correct `dataset_dir`.")
    return {"training": _pairs(root, "imagesTr", "labelsTr"), "test": _pairs(root, "imagesTs", "labelsTs")}


def _pairs(root: Path, images: str, labels: str) -> list[Case]:
    if not (root / images).is_dir() or not (root / labels).is_dir():
        return []
    label_of = {label.name: label.path for label in scans_below(root / labels)}
    cases = []
    for image in scans_below(root / images):
        # a series below the folder of its patient may have its label beside the folder's name
        names = (image.name, image.name.removesuffix("_0000"), image.patient)
        label = next((label_of[name] for name in names if name in label_of), None)
        if label is None:
            raise ValueError(
                f"`{image.path}` has no label of the same name in `{root / labels}`; add it or move the image."
            )
        cases.append({"image": image.path, "label": label} | ({"patient": image.patient} if image.patient else {}))
    return cases
