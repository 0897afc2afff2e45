"""Two methods by runs and cases: the formula by another way, and what it claims when there is nothing to claim."""

import math

import numpy as np
import pytest
from scipy.stats import t, wilcoxon

from monai_ssl.evaluation.runs_and_cases import compare_runs_and_cases


def as_runs(table):
    return [{f"c{i}": float(v) for i, v in enumerate(row)} for row in table]


def nothing(table):
    return as_runs(np.zeros_like(table))


def draw(rng, runs, cases, by_run, by_case, noise=1.0):
    """Differences of two methods that are equal on the whole, not in each run or case."""
    return (
        by_run * rng.normal(size=(runs, 1))
        + by_case * rng.normal(size=(1, cases))
        + noise * rng.normal(size=(runs, cases))
    )


def test_the_formula_by_sums_of_squares():
    table = draw(np.random.default_rng(0), 4, 9, 1.0, 2.0) + 0.5
    mean, r, c = table.mean(), *table.shape
    ms_r = sum(c * (row.mean() - mean) ** 2 for row in table) / (r - 1)
    ms_c = sum(r * (column.mean() - mean) ** 2 for column in table.T) / (c - 1)
    rest = [table[i, j] - table[i].mean() - table[:, j].mean() + mean for i in range(r) for j in range(c)]
    ms_rc = sum(x**2 for x in rest) / ((r - 1) * (c - 1))
    error = ms_r + max(ms_c - ms_rc, 0)
    found = compare_runs_and_cases(as_runs(table), nothing(table))
    freedom, spread = (r - 1) * error**2 / ms_r**2, math.sqrt(error / (r * c))
    assert found.difference == pytest.approx(mean)
    assert found.p_value == pytest.approx(2 * t.sf(abs(mean) / spread, freedom))
    assert (found.low, found.high) == pytest.approx(t.interval(0.95, freedom, mean, spread))


def test_cases_that_agree_more_than_chance_take_nothing_off_the_error():
    """MS_R = 1, MS_C = 0, MS_RC = 4: one degree of freedom, Cauchy's distribution."""
    table = np.array([[1.0, 3.0], [4.0, 2.0]])
    found = compare_runs_and_cases(as_runs(table), nothing(table))
    assert found.p_value == pytest.approx(1 - 2 * math.atan(2.5 / 0.5) / math.pi)


@pytest.mark.parametrize(("by_run", "by_case"), [(0.0, 1.0), (0.5, 1.0), (2.0, 0.0)])
@pytest.mark.parametrize("runs", [3, 5])
def test_equal_methods_are_not_found_different_too_often(runs, by_run, by_case):
    rng = np.random.default_rng(runs)
    tables = [draw(rng, runs, 24, by_run, by_case) for _ in range(1500)]
    ours = np.mean([compare_runs_and_cases(as_runs(x), nothing(x)).p_value < 0.05 for x in tables])
    assert ours < 0.07
    if by_run == 2.0:
        over_cases = np.mean([wilcoxon(x.mean(0)).pvalue < 0.05 for x in tables[:300]])
        assert over_cases > 0.5, "cases alone know nothing of the spread of runs"


def test_runs_that_agree_wholly():
    same = np.tile(np.arange(6.0), (3, 1))
    found = compare_runs_and_cases(as_runs(same), nothing(same))
    expected = t.sf(same[0].mean() / math.sqrt(same[0].var(ddof=1) / 6), math.inf) * 2
    assert found.p_value == pytest.approx(expected)
    assert compare_runs_and_cases(nothing(same), nothing(same)).p_value == 1
    assert compare_runs_and_cases(as_runs(same * 0 + 1), nothing(same)).p_value == 0


def test_a_case_without_a_score_in_one_run_is_dropped():
    table = draw(np.random.default_rng(3), 3, 6, 1.0, 1.0)
    runs = as_runs(table)
    runs[1]["c0"] = None
    runs[0]["c1"] = math.nan
    del runs[2]["c5"]
    found = compare_runs_and_cases(runs, nothing(table))
    without = table[:, 2:5]
    assert (found.n, found.dropped) == (3, 3)
    assert found.p_value == pytest.approx(compare_runs_and_cases(as_runs(without), nothing(without)).p_value)


def test_what_cannot_be_compared_is_refused():
    table = np.ones((3, 4))
    with pytest.raises(ValueError, match="in pairs, two at least, got 3 and 2"):
        compare_runs_and_cases(as_runs(table), as_runs(table[:2]))
    with pytest.raises(ValueError, match="got 1 and 1"):
        compare_runs_and_cases(as_runs(table[:1]), as_runs(table[:1]))
    with pytest.raises(ValueError, match="Only 1 cases have a score in every run"):
        compare_runs_and_cases(as_runs(table[:, :1]), as_runs(table[:, :1]))
