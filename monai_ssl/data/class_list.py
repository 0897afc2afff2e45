"""Classification data lists: images and classes, from a CSV or from one folder a class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from monai_ssl.data.datalist import SECTIONS, Case, is_there, patient_of, select_section
from monai_ssl.io.listing import images_below

_FOLDERS = {"training": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}


def class_names(dataset_dir: str | Path, datalist: str | Path | None = None) -> list[str]:
    """Return the names of the classes that the data has, sorted; a multi-label table keeps its order of columns."""
    table = _table(Path(dataset_dir), datalist)
    if table is None:
        return sorted({case["class"] for cases in _from_folders(Path(dataset_dir)).values() for case in cases})
    rows = _rows(table)
    return _label_columns(rows) or sorted({row["label"] for row in rows})


def classification_cases(
    section: str,
    dataset_dir: str | Path,
    classes: Sequence[str],
    datalist: str | Path | None = None,
    *,
    val_share: float = 0.2,
    train_cases: int | None = None,
    seed: int = 0,
) -> list[Case]:
    """Return the cases of one section: dictionaries with the path ``image``, ``label`` and, where listed, ``patient``.

    ``label`` is the index of the class, or for a multi-label table a list of 0.0 and 1.0.

    Args:
        section: ``"training"``, ``"validation"`` or ``"test"``.
        dataset_dir: holds one folder a class, perhaps below ``train``, ``val`` and ``test``; or what the table
            refers to.
        classes: names, in the order of the network's outputs.
        datalist: CSV with the columns ``image`` and ``label``, or ``image`` and one column of 0/1 for each class;
            ``patient`` and ``section`` are optional. When ``None``, ``dataset_dir/datalist.csv`` is used if there.
        val_share: of the training patients, for want of a validation section.
        train_cases: keep that many training patients; smaller numbers are subsets of larger ones.
        seed: of the split.

    Raises:
        FileNotFoundError: when a listed file does not exist.
        ValueError: when there is nothing to train on, or a class is unknown.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("healthy/1.png", "healthy/2.png", "ill/3.png", "ill/4.png"):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Path(folder, name).touch()
        ...     cases = classification_cases("training", folder, ["healthy", "ill"], val_share=0.25)
        >>> sorted((Path(case["image"]).parent.name, case["label"]) for case in cases)[::2]
        [('healthy', 0), ('ill', 1)]
    """
    root = Path(dataset_dir)
    table = _table(root, datalist)
    sections = _from_folders(root) if table is None else _from_table(root, table)
    remedy = "a folder of images for each class, or a table as `datalist`, of at least two patients"
    chosen = select_section(
        sections,
        section,
        val_share=val_share,
        train_cases=train_cases,
        seed=seed,
        origin=str(table or root),
        remedy=remedy,
    )
    if any(case.get("patient") for case in chosen):
        # of all or of none, so that samples collate
        chosen = [{**case, "patient": patient_of(case)} for case in chosen]
    return [_with_index(case, classes) for case in chosen]


def _table(root: Path, datalist: str | Path | None) -> Path | None:
    if datalist:
        path = Path(datalist)
        return path if path.is_absolute() or path.is_file() else root / path
    return root / "datalist.csv" if (root / "datalist.csv").is_file() else None


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no data list `{table}`; correct `datalist`.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"The data list `{table}` is no CSV in UTF-8 ({error}); save it again.") from error
    if not rows or "image" not in rows[0] or len(rows[0]) < 2:
        raise ValueError(f"The data list `{table}` needs a column `image`, and `label` or one column for each class.")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(f"Line {number} of the data list `{table}` has not as many columns as the first line.")
    return rows


def _label_columns(rows: Sequence[dict[str, str]]) -> list[str]:
    if "label" in rows[0]:
        return []
    return [name for name in rows[0] if name not in ("image", "patient", "section")]


def _from_table(root: Path, table: Path) -> dict[str, list[Case]]:
    rows = _rows(table)
    columns = _label_columns(rows)
    sections: dict[str, list[Case]] = {name: [] for name in SECTIONS}
    for row in rows:
        section = row.get("section") or "training"
        if section not in SECTIONS:
            raise ValueError(f"`section` in `{table}` must be one of {SECTIONS}, got {section!r}.")
        image = next((f / row["image"] for f in (root, table.parent) if is_there(f / row["image"])), None)
        if image is None:
            raise FileNotFoundError(f"`{row['image']}` of the data list `{table}` does not exist under {root}.")
        case: Case = {"image": str(image), "patient": row.get("patient") or None}
        case |= {"truth": {name: _truth(row, name, table) for name in columns}} if columns else {"class": row["label"]}
        sections[section].append(case)
    return sections


def _truth(row: dict[str, str], name: str, table: Path) -> float:
    if row[name] in ("0", "1", "0.0", "1.0"):
        return float(row[name])
    raise ValueError(f"The column `{name}` of the data list `{table}` must hold 0 or 1, got {row[name]!r}.")


def _from_folders(root: Path) -> dict[str, list[Case]]:
    places = {s: next((root / n for n in names if (root / n).is_dir()), None) for s, names in _FOLDERS.items()}
    if places["training"] is None:
        return {"training": _class_folders(root)}
    return {section: _class_folders(place) for section, place in places.items() if place is not None}


def _class_folders(root: Path) -> list[Case]:
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder `{root}`; correct `dataset_dir`.")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [
        {"image": image.path, "class": folder.name, "patient": image.patient}
        for folder in folders
        for image in images_below(folder)
    ]


def _with_index(case: Case, classes: Sequence[str]) -> Case:
    named = {"image": case["image"]} | ({"patient": case["patient"]} if case.get("patient") else {})
    if "truth" in case:
        unknown = [name for name in classes if name not in case["truth"]]
        if unknown:
            raise ValueError(f"The data list has no column for the class {unknown[0]!r}, only {list(case['truth'])}.")
        return {**named, "label": [case["truth"][name] for name in classes]}
    if case["class"] not in classes:
        raise ValueError(f"`{case['image']}` is of class {case['class']!r}, which is not in `classes` {list(classes)}.")
    return {**named, "label": list(classes).index(case["class"])}


__all__ = ["class_names", "classification_cases"]
