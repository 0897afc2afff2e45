"""``python -m monai_ssl study FILE --dry-run`` is clean for every ready-made study, on data laid out as it says."""

import json
import re
import shutil
from pathlib import Path

import pytest
from layouts import LAYOUTS

from monai_ssl.cli.main import main

STUDIES = Path(__file__).parents[2] / "studies"
QUICK = ("pcrlv2_table_8", "tower_table_3")
FILES = [
    path if path.stem in QUICK else pytest.param(path, marks=pytest.mark.slow)
    for path in sorted(STUDIES.glob("*.json"))
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Makes a data set when a study asks for it, once."""
    root = tmp_path_factory.mktemp("studies") / "data"

    def place(name):
        if not (root / name).exists():
            LAYOUTS[name](root / name)

    return root, place


def data_of(path):
    return set(re.findall(r'"dataset_dir": "data/([^"]+?)(?:/imagesT[rs])?"', path.read_text()))


def test_every_data_set_has_a_layout_here_and_a_row_on_the_page():
    needed = set().union(*map(data_of, STUDIES.glob("*.json")))
    assert needed == LAYOUTS.keys()
    rows = re.findall(r"^\| `data/([^`]+)` \|", (STUDIES / "README.md").read_text(), re.MULTILINE)
    assert {name for name in needed if not name.startswith(("headneck/", "breast_"))} <= set(rows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dry_run_is_clean(path, data, capsys):
    root, place = data
    for name in data_of(path):
        place(name)
    copy = shutil.copy(path, root.parent / path.name)
    assert main(["study", str(copy), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "CANNOT START" not in said and "cells" in said
    tasks = [name for name in json.loads(path.read_text())["tasks"] if not name.startswith("_")]
    assert all(f"task {name}: " in said for name in tasks)


def test_data_that_is_laid_out_in_another_way_is_named(data, capsys):
    root, place = data
    place("luna16")
    copy = shutil.copy(STUDIES / "pcrlv2_table_8.json", root.parent / "other.json")
    (root / "empty").mkdir(exist_ok=True)
    assert main(["study", str(copy), "--dry-run", "--tasks#LiTS#dataset_dir", "data/empty"]) == 1
    assert "task LiTS CANNOT START" in capsys.readouterr().out


def test_the_page_counts_what_each_file_asks():
    rows = re.findall(r"^\| `(\w+\.json)` \|.*\| ([\d x]+) \|$", (STUDIES / "README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {path.name for path in STUDIES.glob("*.json")}
    for name, counts in rows:
        study = json.loads((STUDIES / name).read_text())
        axes = study["pretraining"], study["tasks"], study["labels"], study["seeds"]
        assert counts == " x ".join(str(len(axis)) for axis in axes), name
