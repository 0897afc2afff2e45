import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fabricated_study import CASES, PIXEL, cell, result, write_cell, write_study
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, wilcoxon

from monai_ssl.evaluation.runs_and_cases import compare_runs_and_cases
from monai_ssl.study.comparison import compare
from monai_ssl.study.execution import execute
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.report.charts import line_chart, ticks
from monai_ssl.study.report.report import write_report
from monai_ssl.study.report.tables import summary_text
from monai_ssl.study.report.task_text import about_task
from monai_ssl.study.results import read_cells

METHODS, LABELS, SEEDS = ("scratch", "byol", "pcrl2"), (5, 10, 20), (0, 1, 2)
VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Checks that elements close in order and keeps what a browser would show or ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.shown, self.tables = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.shown.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return " ".join(self.shown)


def page_of(study_dir):
    return Page(write_report(study_dir).read_text(encoding="utf-8"))


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(text):
    return float(text.replace("−", "-"))


@pytest.fixture(scope="module")
def study_dir(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("study"), METHODS, LABELS, SEEDS)


@pytest.fixture(scope="module")
def scores():
    return {(m, n): np.array([result(m, n, s)["score"] for s in SEEDS]) for m in METHODS for n in LABELS}


def per_case(method, labels):
    """Mean over seeds, by case."""
    return np.mean([[result(method, labels, seed)["per_case"][case] for case in CASES] for seed in SEEDS], axis=0)


def test_numbers_of_the_page_are_numpys(study_dir, scores):
    head, *lines = page_of(study_dir).tables[0]
    assert len(lines) == len(METHODS) * len(LABELS)
    for line in lines:
        cells = dict(zip(head, line, strict=True))
        found = scores[cells["Method"], int(cells["Labels"])]
        assert number(cells["Mean"]) == pytest.approx(found.mean(), abs=5.1e-4)
        assert number(cells["SD"]) == pytest.approx(found.std(ddof=1), abs=5.1e-4)
        assert cells["Seeds"] == "3"
        if cells["Method"] == "scratch":
            assert cells["To scratch"] == "–"
        else:
            difference = found.mean() - scores["scratch", int(cells["Labels"])].mean()
            assert number(cells["To scratch"]) == pytest.approx(difference, abs=5.1e-4)
            low, high = map(number, cells["95 % CI"].split(" to "))
            assert low < difference < high


def runs(row):
    return [result(row["method"], int(row["labels"]), seed)["per_case"] for seed in SEEDS]


def test_summary_tests_over_cases_with_holm(study_dir):
    write_report(study_dir)
    rows = [row for row in rows_of(study_dir / "summary.csv") if row["method"] != "scratch"]
    differences = [per_case(r["method"], int(r["labels"])) - per_case("scratch", int(r["labels"])) for r in rows]
    p = np.array([compare_runs_and_cases(runs(r), runs(r | {"method": "scratch"})).p_value for r in rows])
    np.testing.assert_allclose([float(r["cases_p_value"]) for r in rows], p)
    np.testing.assert_allclose([float(r["cases_difference"]) for r in rows], [d.mean() for d in differences])
    order = np.argsort(p, kind="stable")
    holm = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    np.testing.assert_allclose(np.array([float(r["p_holm"]) for r in rows])[order], holm)
    assert {r["cases_n"] for r in rows} == {str(len(CASES))} and {r["baseline"] for r in rows} == {"full / scratch"}
    assert {r["verdict"] for r in rows} == {"better"}


def test_table_has_each_cell_once(study_dir):
    write_report(study_dir)
    found = {
        (r["method"], int(r["labels"]), int(r["seed"])): float(r["score"]) for r in rows_of(study_dir / "table.csv")
    }
    assert found == {(m, n, s): result(m, n, s)["score"] for m in METHODS for n in LABELS for s in SEEDS}


def test_same_cells_same_bytes(study_dir, tmp_path):
    again = write_study(tmp_path, METHODS[::-1], LABELS[::-1], SEEDS[::-1])
    for name in ("summary.csv", "report.html"):
        write_report(study_dir), write_report(again)
        assert (study_dir / name).read_bytes() == (again / name).read_bytes(), name


def test_page_asks_nobody_for_anything(tmp_path):
    content = result(task="http://evil.example/<script>", pictures=["best.png", "../x.png", "/etc/passwd", "a\0b.png"])
    write_cell(tmp_path, content, pictures=["best.png"])
    (StudyFolder(tmp_path).cell("x.png").root).write_bytes(PIXEL)
    text = write_report(tmp_path).read_text()
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base", "form", "a"} & set(page.tags)
    asked = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    assert len(asked) == 1 and asked[0].startswith("data:image/png;base64,")
    style = re.search("<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style and "@import" not in style
    assert any("default-src 'none'" in value for _, name, value in page.attributes if name == "content")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def colors(style):
    return re.findall(r"(--\w+):#\w+", style)


def test_page_reads_on_a_phone_and_in_the_dark(study_dir):
    text = write_report(study_dir).read_text()
    assert 'name="viewport" content="width=device-width' in text and "prefers-color-scheme:dark" in text
    assert text.count("<table>") == text.count('<div class="scroll" tabindex="0"')
    style = re.search("<style>(.*?)</style>", text, re.DOTALL).group(1)
    blocks = re.findall(r"(dark\)\{)?:root\{(.*?)\}", style, re.DOTALL)
    dark, light = ({c for when, part in blocks if bool(when) is d for c in colors(part)} for d in (True, False))
    assert light == dark
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used <= light


def test_lower_can_be_better(tmp_path):
    write_study(tmp_path, METHODS, (5,), metric="hd95", higher_is_better=False)
    write_report(tmp_path)
    assert {r["verdict"] for r in rows_of(tmp_path / "summary.csv") if r["method"] != "scratch"} == {"worse"}
    assert "No method gains over scratch" in page_of(tmp_path).text


def test_one_seed_and_few_cases_claim_nothing(tmp_path):
    few = {"per_case": {"a": 0.5, "b": 0.6}}
    write_study(tmp_path, ("scratch", "byol"), (5,), (0,), **few)
    page = page_of(tmp_path)
    assert "another seed would fall" in page.text and "none can be significant" in page.text
    assert {r["sd"] for r in rows_of(tmp_path / "summary.csv")} == {""}
    assert [r["verdict"] for r in rows_of(tmp_path / "summary.csv")] == ["", "unclear"]


def test_the_table_for_the_console_is_that_of_the_file(study_dir, tmp_path):
    lines = summary_text(study_dir / "summary.csv").splitlines()
    rows = rows_of(study_dir / "summary.csv")
    assert len(lines) == len(rows) + 1 and lines[0].split()[-3:] == ["p", "(Holm)", "verdict"]
    assert "\n".join(lines).isascii(), "a console may know no more"
    for line, row in zip(lines[1:], rows, strict=True):
        shown = [row["task"], row["labels"], row["scheme"], row["method"], row["metric"], row["seeds"]]
        shown.append(f"{float(row['mean']):.3f}")
        if row["to_scratch"]:
            small = float(row["p_holm"]) < 0.001
            p = ["<", "0.001"] if small else [f"{float(row['p_holm']):.3f}"]
            shown += [f"{float(row['to_scratch']):+.3f}", *p, row["verdict"]]
        assert line.split() == shown
    # each word begins under its heading, also where a number is missing
    verdicts = {line.find(row["verdict"]) for line, row in zip(lines[1:], rows, strict=True) if row["verdict"]}
    assert verdicts == {lines[0].index("verdict")}
    write_report(tmp_path)
    assert len(summary_text(tmp_path / "summary.csv").splitlines()) == 1


def test_a_score_that_no_case_has_is_not_tested_and_one_number_of_labels_draws_no_line(tmp_path):
    write_study(tmp_path, ("scratch", "byol"), (5,), metric="auc", per_case=dict.fromkeys(CASES))
    page = page_of(tmp_path)
    assert [r["verdict"] for r in rows_of(tmp_path / "summary.csv")] == ["", "not tested"]
    assert "1 comparison with scratch: not tested." in page.text
    assert "one standard deviation" not in page.text
    write_study(tmp_path / "two", ("scratch", "byol"), (5, 20))
    assert "one standard deviation" in page_of(tmp_path / "two").text


def test_one_pretraining_behind_all_seeds_is_said(tmp_path):
    write_study(tmp_path, ("scratch", "byol"), (5,))
    for seed in SEEDS:
        write_cell(tmp_path, result("pcrl2", 5, seed, pretraining=f"pcrl2 of seed {seed}"))
    assert "All seeds of byol start from one pre-training" in page_of(tmp_path).text
    assert {r["cases_test"] for r in rows_of(tmp_path / "summary.csv")} == {"", "runs and cases"}


def test_one_seed_is_judged_by_its_cases(tmp_path):
    write_study(tmp_path, ("scratch", "byol"), (5,), (0,))
    page, row = page_of(tmp_path), rows_of(tmp_path / "summary.csv")[1]
    differences = np.array(list(result("byol", 5)["per_case"].values())) - list(
        result("scratch", 5)["per_case"].values()
    )
    assert float(row["cases_p_value"]) == pytest.approx(wilcoxon(differences).pvalue)
    assert "Wilcoxon" in page.text and "start from one pre-training" not in page.text


def test_an_auc_is_tested_by_pseudo_values(tmp_path):
    auc = {"metric": "auc", "per_case": dict.fromkeys(CASES)}
    values = {case: 0.5 + 0.3 * (-1) ** i for i, case in enumerate(CASES)}
    gain = {case: value + 0.1 + 0.01 * (i % 3) for i, (case, value) in enumerate(values.items())}
    # ranks that point the other way than the mean must not silence a test of means
    gain[CASES[0]] += 4
    write_cell(tmp_path, result("scratch", score=0.7, pseudo_values=values, **auc))
    write_cell(tmp_path, result("byol", score=0.8, pseudo_values=gain, **auc))
    page, row = page_of(tmp_path), rows_of(tmp_path / "summary.csv")[1]
    differences = np.array([gain[case] - values[case] for case in CASES])
    assert float(row["cases_p_value"]) == pytest.approx(ttest_1samp(differences, 0).pvalue) and row["cases_test"] == "t"
    assert int(row["cases_n"]) == len(CASES) and "t-test of their pseudo-values" in page.text
    up = compare(read_cells(StudyFolder(tmp_path))[0])[1]
    down = replace(up, p_holm=0.01, paired=replace(up.paired, rank_biserial=-0.5))
    assert down.verdict == "better" and replace(down, paired=replace(down.paired, test="wilcoxon")).verdict == "unclear"


def test_scores_by_batch_norm_statistics_stand_beside_each_other(tmp_path):
    for seed, (mixed, target, distance) in enumerate([(0.5, 0.7, 2.0), (0.6, 0.9, 4.0)]):
        more = {"score": mixed, "score_target_bn": target, "bn_distance": distance}
        write_cell(tmp_path, result("byol", seed=seed, **more))
        write_cell(tmp_path, result("scratch", seed=seed))
    (table,) = [t for t in page_of(tmp_path).tables if "Of the target" in t[0]]
    assert table[1:] == [["full", "5", "byol", "0.550", "0.800", "+0.250", "3"]]
    first = next(row for row in rows_of(tmp_path / "table.csv") if row["method"] == "byol")
    assert (first["score_target_bn"], first["bn_distance"]) == ("0.7", "2.0")


def test_gains_on_hard_and_easy_cases_are_those_of_the_seeds_that_did_not_divide_them(tmp_path):
    """Scratch fails the first four cases; the method helps there only."""
    hard, seeds, cells = CASES[:4], (0, 1, 2, 3), []
    for method in ("scratch", "byol"):
        for seed in seeds:
            gain = {"scratch": 0.0, "byol": 0.2}[method] + 0.01 * seed * (method == "byol")
            per_case = {case: 0.3 + gain if case in hard else 0.8 for case in CASES}
            cells.append(write_cell(tmp_path, result(method, 5, seed, per_case=per_case)))
    record = {"name": "trial", "tasks": {"liver": {"hard_cutoff": 0.4}}}
    StudyFolder(tmp_path).write_record(record, cells)
    head, line = next(table for table in page_of(tmp_path).tables if "Hard" in table[0])
    assert head[3:5] == ["Hard", "Gain"] and line[:5] == ["full", "5", "byol", "4", "+0.225"]
    assert line[6:8] == ["8", "+0.000"]
    StudyFolder(tmp_path).write_record({"name": "trial"}, cells)
    assert not any("Hard" in table[0] for table in page_of(tmp_path).tables)


def test_one_seed_from_scratch_divides_no_cases(tmp_path):
    cells = [write_cell(tmp_path, result(method, 5, 0)) for method in ("scratch", "byol")]
    StudyFolder(tmp_path).write_record({"name": "trial", "tasks": {"liver": {"hard_cutoff": 0.4}}}, cells)
    assert "Nothing can be told: that takes two seeds from scratch" in " ".join(page_of(tmp_path).text.split())


@pytest.mark.parametrize("seeds", [1, 2])
def test_score_and_cases_must_agree(tmp_path, seeds):
    up = {case: 0.5 + 0.01 * i for i, case in enumerate(CASES)}
    more = {case: value + 0.1 for case, value in up.items()}
    for seed in range(seeds):
        write_cell(tmp_path, result("scratch", seed=seed, per_case=up, score=0.9))
        write_cell(tmp_path, result("byol", seed=seed, per_case=more, score=0.8))
    row = compare(read_cells(StudyFolder(tmp_path))[0])[1]
    assert row.p_holm < 0.05 and row.difference < 0 and row.verdict == "unclear"
    assert row.paired.test == ("wilcoxon" if seeds == 1 else "runs and cases")


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_single_shared_case_compares_nothing(tmp_path, seeds):
    for seed in range(seeds):
        write_cell(tmp_path, result("scratch", seed=seed, per_case={"a": 0.5, "b": 0.6}))
        write_cell(tmp_path, result("byol", seed=seed, per_case={"a": 0.7, "c": 0.8}))
    row = compare(read_cells(StudyFolder(tmp_path))[0])[1]
    assert row.paired is None and row.verdict == "not tested"


def test_seeds_that_only_one_arm_has_do_not_count_for_the_difference(tmp_path):
    for seed, score in ((0, 0.5), (1, 0.9)):
        write_cell(tmp_path, result("scratch", seed=seed, score=score))
    for seed, score in ((1, 0.8), (2, 0.1)):
        write_cell(tmp_path, result("byol", seed=seed, score=score))
    row = compare(read_cells(StudyFolder(tmp_path))[0])[1]
    assert page_of(tmp_path).tables[0][2][6] == "−0.100"
    assert row.difference == pytest.approx(-0.1) and row.mean == pytest.approx(0.45) and row.seeds == 2


def test_baseline_has_the_encoder_of_the_method_and_the_scheme_where_there_is_one(tmp_path):
    write_cell(tmp_path, result("scratch", encoder="conv", score=0.1))
    write_cell(tmp_path, result("scratch (resnet)", encoder="resnet", score=0.2))
    write_cell(tmp_path, result("byol", encoder="resnet", scheme="warmup", score=0.5))
    write_cell(tmp_path, result("mg", encoder="conv", scheme="warmup", score=0.5))
    rows = {row.method: row for row in compare(read_cells(StudyFolder(tmp_path))[0])}
    assert rows["byol"].baseline == ("full", "scratch (resnet)") and rows["byol"].difference == pytest.approx(0.3)
    assert rows["mg"].baseline == ("full", "scratch") and rows["mg"].difference == pytest.approx(0.4)
    write_cell(tmp_path, result("scratch", encoder="conv", scheme="warmup", score=0.45))
    rows = {(row.method, row.scheme): row for row in compare(read_cells(StudyFolder(tmp_path))[0])}
    assert rows["mg", "warmup"].baseline == ("warmup", "scratch")


def test_labels_saved(tmp_path):
    for labels, score in ((5, 0.5), (10, 0.6), (20, 0.8)):
        write_cell(tmp_path, result("scratch", labels, score=score))
    for labels, score in ((5, 0.7), (10, 0.55), (20, 0.9)):
        write_cell(tmp_path, result("byol", labels, score=score))
    savings = {row.labels: row.saving for row in compare(read_cells(StudyFolder(tmp_path))[0]) if row.method == "byol"}
    assert savings[5].equivalent == pytest.approx(15) and savings[5].saving == pytest.approx(2 / 3)
    assert savings[10].equivalent == pytest.approx(7.5) and savings[20].bound == "at least"
    shown = {line[1]: line[-1] for line in page_of(tmp_path).tables[0] if line[2] == "byol"}
    assert shown == {"5": "15 (saves 67 %)", "10": "7.5 (saves −33 %)", "20": "more than 20: not reached from scratch"}


def test_what_failed_or_is_missing_stands_in_the_page(tmp_path):
    failing, waiting = cell(result("byol")), cell(result("mg", seed=7))

    def fail(job, folder, aside):
        raise ValueError("<b>no memory</b>")

    assert execute(StudyFolder(tmp_path), failing, fail) == "failed"
    asked = {"name": "n", "allow_leak": True, "select": "best"}
    StudyFolder(tmp_path).write_record(asked, [write_cell(tmp_path, result()), failing, waiting])
    write_cell(tmp_path, result("stale"), "of_another_study_file")
    page = page_of(tmp_path)
    assert "1 cell finished" in page.text and "2 failed or missing" in page.text
    assert [failing.title, "<b>no memory</b>"] in page.tables[2]
    assert ["mg, liver, 5 labeled, full, seed 7", "It has not run yet."] in page.tables[2]
    assert "stale" not in page.text and "allowed into pre-training" in page.text and "best on validation" in page.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be used"),
        ("[]", "`method` is missing"),
        (json.dumps(result() | {"score": None}), "`score` is None, not a finite number"),
        (json.dumps(result() | {"score": float("nan")}), "NaN is not a number"),
        (json.dumps({k: v for k, v in result().items() if k != "seed"}), "`seed` is missing"),
    ],
)
def test_results_that_cannot_be_used_are_named(tmp_path, text, reason):
    write_cell(tmp_path, result("byol"))
    bad = StudyFolder(tmp_path).cell("bad")
    bad.root.mkdir()
    bad.result.write_text(text)
    cells, unfinished = read_cells(StudyFolder(tmp_path))
    assert len(cells) == 1 and reason in unfinished["cell bad"]


def test_two_results_of_one_arm_and_seed_count_once(tmp_path):
    write_cell(tmp_path, result(score=0.1), "a")
    write_cell(tmp_path, result(score=0.2), "b")
    cells, unfinished = read_cells(StudyFolder(tmp_path))
    assert [cell.score for cell in cells] == [0.1] and "same arm and seed" in unfinished["cell b"]


def test_empty_study_and_none(tmp_path):
    assert "shows nothing yet" in page_of(tmp_path).text
    with pytest.raises(FileNotFoundError, match="There is no study in"):
        write_report(tmp_path / "nowhere")


def test_cases_without_a_score_are_left_out(tmp_path):
    base = result()["per_case"]
    write_cell(tmp_path, result(per_case=base | {CASES[0]: None}))
    write_cell(tmp_path, result("byol", per_case=dict.fromkeys(CASES[:-1], 0.9) | {"other": 0.1}))
    assert compare(read_cells(StudyFolder(tmp_path))[0])[1].paired.n == len(CASES) - 2


def test_pictures_are_of_the_most_labels_and_of_each_arm(tmp_path):
    names = ["best.png", "worst.png"]
    for method in ("scratch", "byol"):
        for labels in (5, 20):
            for seed in (0, 1):
                write_cell(tmp_path, result(method, labels, seed, pictures=names), pictures=names)
    page = page_of(tmp_path)
    told = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert told == [f"{m}, full, 20 labels, seed 0: {n}" for n in ("best", "worst") for m in ("scratch", "byol")]


WEIRD = st.text(min_size=1, max_size=12) | st.sampled_from(
    ['"><script>alert(1)</script>', "&amp;", "a\r\nb", "=1+1", "\ud800"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(task=WEIRD, method=WEIRD, scheme=WEIRD, metric=WEIRD, case=WEIRD, name=WEIRD)
def test_weird_names_neither_break_the_page_nor_run(tmp_path_factory, task, method, scheme, metric, case, name):
    where = tmp_path_factory.mktemp("weird")
    facts = {"task": task, "scheme": scheme, "metric": metric, "per_case": {case: 0.5, f"{case}2": 0.25}}
    facts |= {"per_class": {name: 0.5}, "encoder": name}
    write_cell(where, result("scratch", **facts), "s")
    write_cell(where, result(method, **facts | {"pretraining": name}), "m")
    StudyFolder(where).write_record({"name": name}, [])
    page = page_of(where)
    assert "script" not in page.tags
    rows = rows_of(where / "table.csv")
    expected = [text.encode("utf-8", "replace").decode() for text in (task, method, scheme, metric)]
    assert [r for r in rows if [r[k] for k in ("task", "method", "scheme", "metric")] == expected]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low, width):
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 * width <= tick <= low + width * (1 + 1e-6) for tick in found)
    if len(found) > 1:
        step = found[1] - found[0]
        assert round(step / 10 ** np.floor(np.log10(step) + 1e-6)) in (1, 2, 5)


def test_chart_places_points_where_they_belong():
    points = [(5, 0.0, None), (10, 1.0, 0.5), (20, 0.5, None)]
    chart = line_chart({"a": points, "none": []}, {"a": "s1"}, "t", "x", "y", log_x=True)
    (line,) = chart.lines
    first, second, third = line.points
    assert second.x - first.x == pytest.approx(third.x - second.x, abs=0.2) and second.y < third.y < first.y
    assert (first.y - third.y) == pytest.approx(third.y - second.y, abs=0.2)
    assert all(64 <= p.x <= 624 and 14 <= p.y <= 312 for p in line.points)
    assert second.bar[0] - second.bar[1] == pytest.approx(first.y - second.y, abs=0.2) and first.bar is None
    assert second.told == "a at 10: 1.000 ± 0.500"
    assert chart.x_ticks == [(first.x, "5"), (second.x, "10"), (third.x, "20")]


def test_learning_curve_is_the_mean_over_seeds(tmp_path):
    write_cell(tmp_path, result(seed=0, curve=[[10, 0.2], [0, 0.0]]))
    write_cell(tmp_path, result(seed=1, curve=[[0, 0.5], [10, 0.6], [20, None]]))
    text = write_report(tmp_path).read_text()
    assert "scratch at 0: 0.250" in text and "scratch at 10: 0.400" in text and "scratch at 20" not in text


def test_a_task_is_explained_to_whom_the_study_file_is_not_known(tmp_path):
    study = write_study(tmp_path, labels=(5, 10))
    asked = {"bundle": "segmentation", "dataset_dir": "data/liver", "overrides": {"labels": {"liver": 1, "tumor": 2}}}
    folder = StudyFolder(study)
    folder.record.write_text(json.dumps({**folder.read_record(), "tasks": {"liver": asked}}))
    page = write_report(study).read_text()
    assert "Segmentation: where in each image are liver, tumor?" in page
    assert "Trained with 5 or 10 labeled patients, and scored on 12 others." in page
    assert "Score: Dice, the overlap of what was found with the truth, from 0 to 1; more is better." in page


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"bundle": "classification", "overrides": {"classes": ["a", "b"]}}, "which does each image show, a, b?"),
        ({"bundle": "x/regression", "overrides": {"target": "age"}}, "Regression: which number (`age`) belongs to"),
        ({"bundle": "mine"}, "mine: liver, tumor."),
        ({"bundle": "segmentation", "overrides": {"labels": {f"s{i}": i + 1 for i in range(8)}}}, "s5 and 2 more?"),
        ({}, "The task: liver, tumor."),
        ({"bundle": 3, "dataset_dir": [], "overrides": "x"}, "3: liver, tumor."),
    ],
)
def test_every_kind_of_task_is_explained_also_by_a_damaged_record(asked, told, tmp_path):
    cells, _ = read_cells(StudyFolder(write_study(tmp_path, methods=("scratch",), labels=(1,), seeds=(0,))))
    text = about_task(compare(cells), cells, asked)
    assert told in text and "with 1 labeled patient, and scored on 12 others." in text


def test_a_page_does_not_count_comparisons_in_two_ways(tmp_path):
    alone = {"per_case": {"case_00": 0.5}, "pseudo_values": {}}
    page = write_report(
        write_study(tmp_path, methods=("scratch", "byol"), labels=(5,), seeds=(0,), **alone)
    ).read_text()
    assert "1 test patient, no test: one takes two patients" in page and "0 comparisons" not in page
    assert "1 comparison with scratch: not tested." in page
