"""An entry of a manifest is used as `prepare` writes it, and named when anything in it is otherwise."""

import json

import pytest

from monai_ssl.store.layout import FORMAT, MANIFEST
from monai_ssl.store.manifest import read_manifest, record_problem
from monai_ssl.store.statistics import PERCENTILES

NAMES = ["min", "max", "mean", "std", *(f"p{q:g}" for q in PERCENTILES)]
GOOD = {
    "key": "0123456789abcdef",
    "shape": [1, 9, 8, 7],
    "dtype": "int16",
    "bytes": 128 + 2 * 9 * 8 * 7,
    "spacing": [1.0, 1.0, 2.5],
    "affine": [[1.0, 0, 0, -4], [0, 1, 0, 3.5], [0, 0, 2.5, 0], [0, 0, 0, 1]],
    "body_box": [[0, 1, 0], [9, 8, 6]],
    "statistics": dict.fromkeys([*NAMES, "foreground_mean", "foreground_std", "foreground_fraction"], 0.5),
    "notes": ["a gantry tilt was resampled away"],
    "parts": 1,
    "modality": "ct",
    "patient": "abc",
    "source_hash": "def",
    "modality_from": "file",
    "patient_from": "dicom",
}
PICTURE = {**GOOD, "shape": [3, 9, 8], "spacing": [1.0, 1.0], "body_box": [[0, 0], [9, 8]], "dtype": "uint8"}
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize("record", [GOOD, PICTURE, {**GOOD, "notes": []}, {**GOOD, "key": "0123-1"}])
def test_what_prepare_writes_is_used(record):
    assert record_problem(record) is None


FORGED = {
    "key": [None, 7, 1e3, "", "a/b", "..", "a\n", "a b", "-a", "x" * 81, ["a"]],
    "shape": [
        *(None, 5, "1987", {"1": 9}, [], [9, 8], [1, 1, 9, 8, 7], [True, 9, 8, 7]),
        *([1, 9, 8, last] for last in (0, -7, 7.0, 8, 2**48)),
    ],
    "dtype": [None, 3, "object", "int64", "float128", [], "<i2"],
    "bytes": [None, 0, -1, 2.5, True, "1136", 2**48],
    "spacing": [
        *(None, 1.0, [1.0, 1.0], [1.0] * 4),
        *([1.0, middle, 1.0] for middle in (0.0, -1.0, "1", True, NAN, INFINITY, 10**400)),
    ],
    "affine": [None, [], [[1.0] * 4] * 3, [[1.0] * 3] * 4, [[NAN] * 4] * 4, [["1"] * 4] * 4, [1.0] * 4],
    "body_box": [
        *(None, [], [[0, 0, 0]], [[0, 0], [9, 8]]),
        *([[0, 0, low], [9, 8, high]] for low, high in ((0, 8), (0, 0), (6, 6), (-1, 7), (0.5, 7), (False, 7))),
    ],
    "statistics": [
        *(None, [], {}, {**GOOD["statistics"], "mean": None}, {**GOOD["statistics"], "std": NAN}),
        *({k: v for k, v in GOOD["statistics"].items() if k != name} for name in GOOD["statistics"]),
    ],
    "notes": [None, "x", [1], ["x", None]],
    "parts": [None, 0, -1, 1.0, True, "1"],
    **{name: [None, 7, ["ct"]] for name in ("modality", "patient", "source_hash")},
    "modality_from": [None, "dicom", "a guess", []],
    "patient_from": [None, "option", "a guess", []],
}


@pytest.mark.parametrize("entry", FORGED)
def test_every_forged_or_missing_entry_is_named(entry):
    for value in FORGED[entry]:
        said = record_problem({**GOOD, entry: value})
        assert said is not None, value
        assert ("is no key of a scan" if entry == "key" else f"has no usable `{entry}`") in said, value
    assert record_problem({k: v for k, v in GOOD.items() if k != entry})


def test_an_array_that_cannot_fit_into_its_file_is_named():
    assert record_problem({**GOOD, "bytes": 2 * 9 * 8 * 7}) is None
    assert "no usable `shape`" in record_problem({**GOOD, "bytes": 2 * 9 * 8 * 7 - 1})
    assert "no usable `shape`" in record_problem({**GOOD, "dtype": "float32"})


@pytest.mark.parametrize("record", [None, 7, "key", ["key"]])
def test_a_scan_that_is_no_object_is_named(record):
    assert record_problem(record) == "a scan is no object"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has format None"),
        ({"options": {}, "scans": []}, "has format None"),
        ({"format": FORMAT + 1, "options": {}, "scans": []}, f"has format {FORMAT + 1}"),
        ({"format": FORMAT, "scans": []}, "`options` or `scans` are missing"),
        ({"format": FORMAT, "options": [], "scans": []}, "`options` or `scans` are missing"),
        ({"format": FORMAT, "options": {}}, "`options` or `scans` are missing"),
        ({"format": FORMAT, "options": {}, "scans": {"a": 1}}, "`options` or `scans` are missing"),
        ({"format": FORMAT, "options": {}, "scans": [GOOD, 7]}, "a scan is no object"),
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, content, message):
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path)


def test_a_good_manifest_is_read(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps({"format": FORMAT, "options": {"spacing": None}, "scans": [GOOD]}))
    assert read_manifest(tmp_path) == ({"spacing": None}, [GOOD])
