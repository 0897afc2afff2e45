"""What ``docs/evidence.md`` tells comes from studies, and ``advise`` follows it before it turns to papers."""

import copy
import importlib.util
import json
from pathlib import Path
from statistics import fmean

import fabricated_study
import pytest

from monai_ssl.study.advice import advise
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.measured import measured_here
from monai_ssl.study.situation import Situation

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("evidence", ROOT / "docs/evidence.py")
evidence = importlib.util.module_from_spec(spec)
spec.loader.exec_module(evidence)
CT = {"task": "segmentation", "modality": "ct", "spatial_dims": 3}


def test_the_page_is_what_the_command_makes_of_the_table():
    """After a change of either: ``python docs/evidence.py``."""
    assert evidence.PAGE.read_text() == evidence.rendered(json.loads(evidence.TABLE.read_text()))


def test_pages_of_methods_are_what_the_command_makes_of_them():
    known = json.loads(evidence.TABLE.read_text())
    methods = {row["method"] for study in known.values() for row in study["rows"]}
    pages = {method: evidence.page_of(method) for method in methods if evidence.page_of(method).exists()}
    assert {"vicreg", "spark"} <= pages.keys()
    for method, path in pages.items():
        assert path.read_text() == evidence.with_measured(path.read_text(), known, method), method
    for path in ROOT.glob("bundles/*/docs/README.md"):
        assert (path in pages.values()) == (evidence.MEASURED in path.read_text()), path


def test_the_page_of_a_method_has_its_own_comparisons_and_nothing_else_changes(table):
    known = json.loads(table.read_text())
    page = f"# BYOL\n\nText.\n\n{evidence.LICENSE}\n\nYours.\n"
    told = evidence.with_measured(page, known, "byol")
    assert told.startswith("# BYOL\n\nText.\n\n## Measured here\n") and told.endswith("\n\n## Data license\n\nYours.\n")
    (row,) = (row for row in known["livers"]["rows"] if row["method"] == "byol")
    rows = [line for line in told.splitlines() if line.startswith("| livers")]
    assert rows == [f"| livers | 10 | `full` | dice | {row['difference']:+.3f} | < 0.001 | better |"]
    assert evidence.with_measured(told, known, "byol") == told


@pytest.mark.parametrize("asked", [{"modality": "xray", "labels": 20}, {"modality": "ct", "labels": 3}])
def test_the_package_has_the_table(asked):
    assert measured_here(Situation(**asked))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The table of a study in which byol helps, moco harms, and a probe likes simclr."""
    root = tmp_path_factory.mktemp("studies") / "livers"
    gains = {"scratch": 0.0, "byol": 0.1, "moco": -0.1}
    for seed in range(3):
        for method, gain in gains.items():
            write(root, method, gain, seed, "full")
        for method, gain in {"scratch": 0.0, "simclr": 0.2}.items():
            write(root, method, gain, seed, "probe")
    overrides = {"modality": "ct", "roi_size": [32, 32, 32]}
    task = {"bundle": "segmentation", "metric": "dice", "overrides": overrides, "patients": {"test": 12}}
    asked = {"tasks": {"liver": task}, "pretrain": "once", "seeds": [0, 1, 2], "labels": [10]}
    asked["pretraining"] = {name: {"overrides": {}} for name in ("byol", "moco", "simclr")}
    StudyFolder(root).write_record(asked, [])
    path = root.with_name("evidence.json")
    path.write_text(json.dumps({"livers": evidence.collected(root)}))
    return path


def write(root, method, gain, seed, scheme):
    scores = {f"case{i}": 0.5 + gain + 0.01 * ((i + seed + len(method)) % 5) for i in range(12)}
    found = {"score": fmean(scores.values()), "per_case": scores}
    fabricated_study.write_cell(root, fabricated_study.result(method, 10, seed, "liver", scheme, **found))


def test_differences_are_those_of_the_scores(table):
    rows = json.loads(table.read_text())["livers"]["rows"]
    means = {(row["scheme"], row["method"]): fmean(row["scores"].values()) for row in rows}
    for row in rows:
        assert row["mean"] == pytest.approx(means[row["scheme"], row["method"]], abs=1e-5)
        if row["method"] != "scratch":
            assert row["difference"] == pytest.approx(row["mean"] - means[row["scheme"], "scratch"], abs=1e-5)
            assert row["low"] < row["difference"] < row["high"] and row["p"] <= row["p_holm"] <= 3 * row["p"] + 1e-12


def test_what_was_measured_goes_before_the_papers(table):
    found = measured_here(Situation(**CT, labels=12), table)
    assert [(one.method, one.verdict) for one in found] == [("simclr", "better"), ("byol", "better"), ("moco", "worse")]
    advice = advise(Situation(**CT, labels=12), found)
    assert [item.method for item in advice.ranked[:2]] == ["simclr", "byol"]
    assert advice.avoid[0].method == "moco" and {one.source for one in advice.evidence} == {"measured here", "paper"}
    # simclr was only probed, which tells nothing of how to fine-tune
    assert advice.choices["finetune"].evidence == ("G8",)
    assert advise(Situation(**CT), found[1:]).choices["finetune"].evidence == ("here:livers:byol",)


def test_studies_that_ask_the_same_count_together(table, tmp_path):
    study = json.loads(table.read_text())["livers"]
    again = copy.deepcopy(study)
    for row in again["rows"]:
        if row["method"] == "simclr":
            row |= {"verdict": "unclear", "difference": -0.15}
    both = tmp_path / "evidence.json"
    both.write_text(json.dumps({"livers": study, "again": again}))
    found = measured_here(Situation(**CT, labels=12), both)
    assert [one.method for one in found] == ["byol", "byol", "simclr", "simclr", "moco", "moco"]
    advice = advise(Situation(**CT, labels=12), found)
    assert [item.method for item in advice.ranked[:2]] == ["byol", "simclr"], "0.1 twice is more than 0.2 and -0.15"
    assert set(advice.ranked[0].evidence) >= {"here:livers:byol", "here:again:byol"}
    assert advice.ranked[1].evidence[0] == "here:livers:simclr"
    assert [(item.method, item.evidence) for item in advice.avoid[:1]] == [
        ("moco", ("here:livers:moco", "here:again:moco"))
    ]


def test_the_page_begins_with_what_helped_and_says_where_it_did_not(table):
    study = json.loads(table.read_text())["livers"]
    again = copy.deepcopy(study)
    for row in again["rows"]:
        row |= {"verdict": "unclear", "difference": 0.025, "p": 0.03, "p_holm": 0.2} if "verdict" in row else {}
    said = evidence.summary({"livers": study, "again": again})
    assert "Of 6 comparisons with scratch: 2 better, 1 worse, 3 unclear." in said
    assert [line.split(" | ")[3] for line in said.splitlines() if line.startswith("| livers")] == ["byol", "simclr"]
    found = "byol of livers is unclear among the 3 comparisons of again: +0.025, p 0.030, corrected 0.200."
    assert found in said and "moco of" not in said
    assert " is better among" not in evidence.summary({"livers": study, "again": study})


@pytest.mark.parametrize(
    "other", [{"modality": "mr"}, {"modality": None}, {"spatial_dims": 2}, {"task": "classification"}, {"labels": 41}]
)
def test_elsewhere_it_says_nothing(table, other):
    assert measured_here(Situation(**CT | {"labels": 40}), table)
    assert measured_here(Situation(**CT | {"labels": 40} | other), table) == []
