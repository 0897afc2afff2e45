"""The files of text that the package reads: manifests, records, data lists, splits, words, studies, results."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutations import CODE, damaged
from PIL import Image
from targets import SilentlyAcceptedError, Target, as_json

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from files import nifti, stored

from monai_ssl.data.labeled import LabeledImages
from monai_ssl.store import PrepareOptions, Split, Store, inspect_store, load_split, prepare, save_split
from monai_ssl.store.array_maps import _maps
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.plan import read_study
from monai_ssl.study.results import read_cells
from monai_ssl.tasks import Classification, Regression, Segmentation
from monai_ssl.words import LocatedWord, WordList
from monai_ssl.words.word_list import Window, Word


def list_targets(scratch: Path) -> list[Target]:
    """Return a target for each kind of file."""
    return [*_store_targets(scratch), *_case_targets(scratch), *_study_targets(), *_other_targets(scratch)]


def _store_targets(scratch: Path) -> list[Target]:
    """The manifest, a record, the memory of hashes and arrays, one compressed, of a store of two scans."""
    for seed in range(2):
        nifti(scratch / "src" / f"p{seed}.nii", stored(seed=seed).astype(np.int16))
    store = scratch / "src" / "store"
    prepare(scratch / "src", store, PrepareOptions(workers=0))
    files = {p.relative_to(scratch).as_posix(): p.read_bytes() for p in (scratch / "src").rglob("*") if p.is_file()}
    array = next(name for name in files if name.endswith(".npy"))
    compressed = scratch / "src" / "compressed"
    prepare(scratch / "src", compressed, PrepareOptions(workers=0, compress=True, exclude=("store/*",)))
    smaller = {p.relative_to(scratch).as_posix(): p.read_bytes() for p in compressed.rglob("*") if p.is_file()}
    chunks = next(name for name in smaller if name.endswith(".b2nd"))
    return [
        _of(smaller, chunks, lambda folder: _use_store(folder / "src/compressed"), damaged),
        _of(files, "src/store/manifest.json", lambda folder: _use_store(folder / "src/store"), as_json),
        _of(files, array, lambda folder: _use_store(folder / "src/store"), damaged),
        *(
            _of(files, name, _prepare_again, as_json)
            for name in (array.replace(".npy", ".json"), "src/store/private/hashes.json")
        ),
    ]


def _use_store(path: Path) -> None:
    # the cases have the same paths
    _maps.clear()
    store = Store(path)
    inspect_store(store).table()
    for scan in store:
        if not scan.path.resolve().is_relative_to(path.resolve()):
            raise SilentlyAcceptedError(f"the store leads to {scan.path}")
        middle = tuple(slice(a, b) for a, b in zip(*scan.body_box, strict=True))
        window = scan[(slice(None), *middle)]
        if window.dtype != np.float32 or not np.isfinite(window).all() or min(window.shape) < 1:
            raise SilentlyAcceptedError(f"a window of {window.dtype} {window.shape} that cannot be trained on")
        if scan.raw().shape != scan.shape or scan.raw().dtype != scan.dtype:
            raise SilentlyAcceptedError("the array is not what the manifest says")


def _prepare_again(folder: Path) -> None:
    report = prepare(folder / "src", folder / "src/store", PrepareOptions(workers=0))
    if report.failed:
        raise AssertionError(f"good scans failed: {report.failed}")
    _use_store(folder / "src/store")


def _case_targets(scratch: Path) -> list[Target]:
    """Data lists of segmentation and classification, and the list of a probe."""
    Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(scratch / "i.png")
    images = {f"i{k}.png": (scratch / "i.png").read_bytes() for k in range(4)}
    cases = [{"image": f"i{k}.png", "label": "i0.png", "patient": f"p{k}"} for k in range(4)]
    table = io.StringIO()
    writer = csv.DictWriter(table, ["image", "label", "value", "patient", "section"])
    writer.writeheader()
    own = {"section": "training"}
    writer.writerows({**case, **own, "label": "ab"[k % 2], "value": k / 3} for k, case in enumerate(cases))
    listed = json.dumps({"training": cases}).encode()
    probe = json.dumps([{"image": f"i{k}.png", "label": k % 2, "group": k} for k in range(4)])
    return [
        _of({**images, "datalist.json": listed}, "datalist.json", _use_cases, as_json),
        _of({**images, "datalist.csv": table.getvalue().encode()}, "datalist.csv", _use_table, damaged),
        _of({**images, "probe.json": probe.encode()}, "probe.json", _use_probe, as_json),
    ]


def _use_cases(folder: Path) -> None:
    for section in ("training", "validation"):
        Segmentation({"liver": 1}).cases(section, folder)


def _use_table(folder: Path) -> None:
    Classification(["a", "b"]).cases("training", folder)
    for case in Regression().cases("training", folder):
        if not np.isfinite(case["label"]).all():
            raise SilentlyAcceptedError(f"{case['label']} is no number to train on")


def _use_probe(folder: Path) -> None:
    images = LabeledImages(folder / "probe.json", (8, 8))
    for index in range(len(images)):
        images[index]


def _study_targets() -> list[Target]:
    study = json.dumps(
        {
            "name": "fuzz",
            "output_dir": "out",
            "seeds": [0, 1],
            "labels": [1, 0.5, "all"],
            "schemes": {"full": {"scheme": "full"}},
            "pretraining": {"simsiam": {"config": "pretrain_2d", "dataset_dir": "data", "overrides": {"width": 4}}},
            "tasks": {"t": {"bundle": "classification", "dataset_dir": "phantoms:xray", "overrides": {}}},
            "shared": {"pretraining": {"max_epochs": 1}},
        }
    )
    result = {"method": "a", "task": "t", "labels": 5, "scheme": "full", "seed": 0, "metric": "auc", "score": 0.5}
    result |= {"higher_is_better": True, "per_case": {"x": 0.5}, "curve": [[1, 0.2]], "pictures": ["a.png"]}
    found, record = (str(path) for path in (StudyFolder(Path()).cell("k").result, StudyFolder(Path()).record))
    cells = {found: json.dumps(result).encode()}
    cells[record] = json.dumps({"cells": [{"key": "k"}, {"key": "l", "method": "b"}]}).encode()
    return [
        _of(
            {"study.json": study.encode()},
            "study.json",
            lambda folder: _use_study(folder / "study.json"),
            _without_code,
        ),
        _of(cells, found, lambda folder: _use_cells(folder), as_json),
        _of(cells, record, lambda folder: _use_cells(folder), as_json, "study record"),
    ]


def _without_code(content: bytes, rng: np.random.Generator) -> bytes:
    """The overrides of a study are those of a bundle, where MONAI runs expressions: see SECURITY.md."""
    return as_json(content, rng).replace(CODE.encode(), b"x")


def _use_study(path: Path) -> None:
    read_study(path)


def _use_cells(folder: Path) -> None:
    cells, _ = read_cells(StudyFolder(folder))
    for cell in cells:
        if not np.isfinite([cell.score, *cell.per_case.values()]).all():
            raise SilentlyAcceptedError(f"a result that is no number: {cell}")


def _other_targets(scratch: Path) -> list[Target]:
    """Splits and lists of visual words."""
    save_split(Split({"train": ("a", "b"), "test": ("c",)}, 0, {"train": 0.7, "test": 0.3}), scratch / "split.json")
    window = Window("0123456789abcdef", (0, 1, 2), (3, 3, 3))
    word = Word(0, window.scan, (0.5, 0.5, 0.5), (window, window), (window,))
    WordList((word,), {"store": "x"}).save(scratch / "words.json")
    return [
        _of(_read(scratch, "split.json"), "split.json", lambda folder: _use_split(folder / "split.json"), as_json),
        _of(_read(scratch, "words.json"), "words.json", lambda folder: _use_words(folder / "words.json"), as_json),
    ]


def _use_split(path: Path) -> None:
    split = load_split(path)
    for part in split.parts:
        if not all(isinstance(patient, str) for patient in split[part]):
            raise SilentlyAcceptedError(f"patients that are no names: {split[part]}")


def _use_words(path: Path) -> None:
    for word in WordList.load(path).words:
        for window in (*word.windows, *word.validation):
            located = LocatedWord(_NoScan(), word.label, window)  # type: ignore[arg-type]
            if not all(isinstance(n, int) and n >= 0 for n in (*located.start, *located.size)):
                raise SilentlyAcceptedError(f"a window that is none: {window}")


class _NoScan:
    key, shape = "0", (1, 9, 9, 9)


def _read(scratch: Path, name: str) -> dict[str, bytes]:
    return {name: (scratch / name).read_bytes()}


def _of(
    files: dict[str, bytes], name: str, use: Callable[[Path], Any], mutate: Any, title: str | None = None
) -> Target:
    others = {other: content for other, content in files.items() if other != name}
    shown = "store array" if name.endswith(".npy") else "store record" if "/scans/" in name else name
    return Target(title or shown, name, files[name], use, mutate, others)
