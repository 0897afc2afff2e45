"""What is in a data folder: a store, a raw tree, class folders or a table, or a datalist of images and label maps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_ssl.data import LabeledImages, PretrainingScans
from monai_ssl.data.cases import Case as ListedCase
from monai_ssl.data.cases import is_there, list_file, patient_of, read_list
from monai_ssl.places import place_of
from monai_ssl.store import Scan, Store
from monai_ssl.tasks import Classification, Segmentation
from monai_ssl.tasks.classification import class_folders

_FEWEST_IMAGES, _MOST_CLASSES = 5, 50
"""On average in a folder that is a class, not a patient; and what a list may have before its labels are numbers."""


@dataclass(frozen=True)
class Case:
    """One image and what is known of it.

    Args:
        image: a scan of a store, or a file.
        patient: images of one patient share it; never shown.
        label: name of its class.
        mask: file of its label map.
    """

    image: Scan | Path
    patient: str
    label: str | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class CaseList:
    """All images of a data folder, in the order of their list.

    Args:
        cases: the images.
        classes: names, sorted; empty where images have none.
        kind: what the data is, in words.
        thin: scans that are too thin to be looked at.
    """

    cases: Sequence[Case]
    classes: tuple[str, ...]
    kind: str
    thin: Sequence[Scan] = ()


def list_cases(data: str | Path, spatial_dims: int, store_dir: str | Path) -> CaseList:
    """List the images of a folder or list.

    Args:
        data: a store, its URL; a table or a folder with ``datalist.csv``; one folder of images a class, five or more on
            average in each; images with label maps, listed in a JSON file or in ``imagesTr`` and ``labelsTr``; a list
            of a probe (``[{"image": path, "label": number}]``); any other tree of scans, which is prepared first.
        spatial_dims: of the images wanted; a store may hold others, too.
        store_dir: where the store of a raw tree goes.

    Raises:
        FileNotFoundError: when there is no such data, or a listed file is missing.
        ValueError: when a list is damaged, or holds no image of these dimensions.
    """
    data = place_of(data)
    if isinstance(data, str):
        return _scans(data, spatial_dims, store_dir, "an uploaded store")
    if not data.exists():
        raise FileNotFoundError(f"There is no data {data}: give a store, a folder of images, or a list of them.")
    if data.suffix.lower() == ".json" and _is_probe_list(data):
        return _probe_list(data)
    if data.suffix.lower() in (".json", ".csv"):
        return _listed(data.parent, data)
    if Store.is_store(data):
        return _scans(data, spatial_dims, store_dir, "a store")
    listed = list_file(data, None, (*Classification.lists, *Segmentation.lists))
    if listed is not None:
        return _listed(data, listed)
    if (data / "labelsTr").is_dir():
        return _with_maps(Segmentation({"foreground": 1}).sections(data, None))
    folders = class_folders(data) if data.is_dir() else {}
    labels = [case["label"] for cases in folders.values() for case in cases]
    if len(set(labels)) > 1 and len(labels) >= _FEWEST_IMAGES * len(set(labels)):
        return _with_classes(folders)
    return _scans(data, spatial_dims, store_dir, "a tree of scans")


def _scans(data: str | Path, spatial_dims: int, store_dir: str | Path, kind: str) -> CaseList:
    scans = PretrainingScans(data, store_dir, spatial_dims, validation=0.0)
    return CaseList([Case(scan, scan.patient) for scan in scans.train], (), kind, scans.thin)


def _listed(root: Path, path: Path) -> CaseList:
    """Read a list of a downstream task, whose labels are files or names of classes."""
    sections = read_list(path, root, ("image",), "`label`, a class or the path of a label file")
    entries = [entry for entries in sections.values() for entry in entries]
    if not all("label" in entry for entry in entries):
        raise ValueError(
            f"{path} lists images without a `label`, which an analysis colors and asks by: add that column."
        )
    if any(is_there(folder / str(entry["label"])) for entry in entries[:1] for folder in (root, path.parent)):
        return _with_maps(read_list(path, root, ("image", "label"), "`label`, the path of a label file"))
    return _with_classes(sections)


def _with_maps(sections: Mapping[str, Sequence[ListedCase]]) -> CaseList:
    listed = [case for cases in sections.values() for case in cases]
    cases = [Case(Path(case["image"]), patient_of(case), mask=Path(case["label"])) for case in listed]
    return CaseList(cases, (), "a list of label maps")


def _with_classes(sections: Mapping[str, Sequence[ListedCase]]) -> CaseList:
    listed = [case for cases in sections.values() for case in cases]
    cases = [Case(Path(case["image"]), patient_of(case), str(case["label"])) for case in listed]
    classes = tuple(sorted({str(case.label) for case in cases}))
    if len(classes) > _MOST_CLASSES:
        # the numbers of a regression are no classes
        return CaseList(cases, (), "a list of numbers")
    return CaseList(cases, classes, "a list of classes, where an image without a patient counts as one of its own")


def _probe_list(path: Path) -> CaseList:
    listed = LabeledImages(path, ())
    groups = [str(i) if group is None else f"group {group}" for i, group in enumerate(listed.groups)]
    cases = [Case(*entry) for entry in zip(listed.files, groups, map(str, listed.labels), strict=True)]
    classes = tuple(map(str, sorted(set(listed.labels))))
    return CaseList(cases, classes, "a list of classes")


def _is_probe_list(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text()), list)
    except (OSError, ValueError, RecursionError):
        # what reads datalists says what is wrong
        return False
