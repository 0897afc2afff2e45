"""Lists of downstream tasks: one patient in one section, whichever way the list is written."""

import json

import pytest

from monai_ssl.tasks import Classification, Regression, Segmentation

TASKS = {
    "segmentation": (Segmentation({"any": 1}), lambda image: {"label": image}),
    "classification": (Classification(["x", "y"]), lambda _: {"label": "x"}),
    "regression": (Regression("age"), lambda _: {"age": "3"}),
}
NAMED = {
    "by the list": [("a.png", "P1"), ("b.png", "P2"), ("c.png", "P3"), ("d.png", "P1")],
    "by BIDS": [("sub-1_ses-1_T1w.nii", ""), ("sub-2_T1w.nii", ""), ("sub-3_T1w.nii", ""), ("sub-1_ses-2_T1w.nii", "")],
    "by names": [("p1_pre.png", ""), ("p2_pre.png", ""), ("p3_pre.png", ""), ("p1_post.png", "")],
    "by folders": [("p1/a.png", ""), ("p2/a.png", ""), ("p3/a.png", ""), ("p1/b.png", "")],
}


def written(root, entries, sections, other, kind):
    rows = []
    for (image, patient), section in zip(entries, sections, strict=True):
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).touch()
        rows.append((section, {"image": image, **other(image), **({"patient": patient} if patient else {})}))
    if kind == "json":
        lists = {name: [row for section, row in rows if section == name] for name in ("training", "validation", "test")}
        (root / "list.json").write_text(json.dumps(lists))
    else:
        lines = [",".join(["section", *rows[0][1]]), *(",".join([section, *row.values()]) for section, row in rows)]
        (root / "list.csv").write_text("\n".join(lines))
    return f"list.{kind}"


@pytest.mark.parametrize("section", ["validation", "test"])
@pytest.mark.parametrize("kind", ["json", "csv"])
@pytest.mark.parametrize("named", NAMED)
@pytest.mark.parametrize("task", TASKS)
def test_a_patient_in_two_sections_of_a_list_is_refused(task, named, kind, section, tmp_path):
    task, other = TASKS[task]
    listed = written(tmp_path, NAMED[named], ["training"] * 3 + [section], other, kind)
    for asked in ("training", section):
        with pytest.raises(ValueError, match=rf"in training and in {section}"):
            task.cases(asked, tmp_path, listed)
    listed = written(tmp_path, NAMED[named], ["training"] * 4, other, kind)
    parts = [{c["patient"] for c in task.cases(s, tmp_path, listed)} for s in ("training", "validation")]
    assert len(parts[0] | parts[1]) == 3 and not parts[0] & parts[1]


@pytest.mark.parametrize(("again", "sure"), [("sub-1_ses-2_T1w.png", True), ("one_post.png", False)])
def test_in_folders_only_what_is_sure_is_refused(again, sure, tmp_path, capsys):
    names = ["sub-1_ses-1_T1w.png", "sub-2_T1w.png"] if sure else ["one_pre.png", "two_pre.png"]
    for name in (*(f"train/x/{name}" for name in names), f"test/x/{again}"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if sure:
        with pytest.raises(ValueError, match="patient 'sub-1' in training and in test"):
            Classification(["x"]).cases("test", tmp_path)
    else:
        assert len(Classification(["x"]).cases("test", tmp_path)) == 1
        assert "in training and in test" in capsys.readouterr().out


def test_the_user_says_who_is_a_patient(tmp_path):
    listed = written(tmp_path, NAMED["by names"], ["training"] * 3 + ["test"], TASKS["regression"][1], "csv")
    cases = Regression("age").cases("test", tmp_path, listed, patients=".+")
    assert [case["patient"] for case in cases] == ["p1_post.png"]
