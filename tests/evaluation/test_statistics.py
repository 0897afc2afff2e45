import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_ssl.evaluation.label_saving import cost_reduction, label_saving
from monai_ssl.evaluation.statistics import (
    average_runs,
    bootstrap_interval,
    cohens_dz,
    compare_paired,
    holm,
    paired_scores,
    rank_biserial,
)


def named(values):
    return {f"case{i:02d}": v for i, v in enumerate(values)}


def by_enumeration(differences):
    """Two-sided p of the signed-rank sum over all signs."""
    ranks = stats.rankdata(np.abs(differences))
    observed = abs((ranks * np.sign(differences)).sum())
    signs = itertools.product([-1, 1], repeat=len(ranks))
    return np.mean([abs((ranks * np.array(s)).sum()) >= observed - 1e-9 for s in signs])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=3, max_size=8, unique_by=abs))
def test_wilcoxon_is_the_share_of_sign_patterns(differences):
    found = compare_paired(named(differences), named([0.0] * len(differences)))
    assert found.p_value == pytest.approx(by_enumeration(np.array(differences)), abs=1e-9)
    assert found.p_value >= found.smallest_p - 1e-12
    assert found.n == len(differences) and found.difference == pytest.approx(np.mean(differences))


def test_all_for_one_reaches_the_smallest_p_and_swapping_turns_signs_only():
    a, b = named([0.5, 0.62, 0.73, 0.84, 0.95]), named([0.4, 0.5, 0.6, 0.7, 0.8])
    one, other = compare_paired(a, b), compare_paired(b, a)
    assert one.p_value == one.smallest_p == 2 * 0.5**5 and one.rank_biserial == 1
    assert (other.rank_biserial, other.p_value) == (-1, one.p_value)
    assert other.difference == pytest.approx(-one.difference)
    assert other.cohens_dz == pytest.approx(-one.cohens_dz)
    assert one.low < one.difference < one.high and one.low > 0


def test_t_test_and_dz_are_those_of_the_books():
    d = np.random.default_rng(0).normal(0.3, 1, 40)
    found = compare_paired(named(d), named(np.zeros(40)), test="t")
    t = d.mean() / (d.std(ddof=1) / math.sqrt(40))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(t), 39))
    assert found.cohens_dz == pytest.approx(t / math.sqrt(40)) and found.test == "t"


def test_equal_methods_do_not_differ():
    for test in ("wilcoxon", "t"):
        same = compare_paired(named([0.1, 0.2, 0.3]), named([0.1, 0.2, 0.3]), test=test)
        assert (same.difference, same.p_value, same.rank_biserial, same.low, same.high) == (0, 1, 0, 0, 0)
        assert math.isnan(same.cohens_dz)
    constant = compare_paired(named([0.5, 0.5]), named([0.25, 0.25]), test="t")
    assert constant.p_value == 0 and math.isnan(constant.cohens_dz)
    assert math.isnan(compare_paired(named([1.0]), named([0.0])).p_value)


def test_cases_without_a_score_are_counted_and_patients_averaged():
    a = {"a1": 1.0, "a2": 0.0, "b": 0.5, "c": None, "d": 0.1}
    b = {"a1": 0.0, "a2": 0.0, "b": 0.0, "c": 0.0, "d": math.nan}
    pairs, dropped = paired_scores(a, b, {"a1": "A", "a2": "A", "b": "B"})
    assert pairs.tolist() == [[0.5, 0], [0.5, 0]] and dropped == 2
    assert compare_paired(a, b).n == 3


def test_runs_are_averaged_by_case():
    assert average_runs([{"a": 1.0, "b": None}, {"a": 0.0, "b": math.nan}]) == {"a": 0.5, "b": None}
    assert average_runs([{"a": 1.0}, {"a": None}]) == {"a": 1.0}


def test_holm():
    # the steps by hand: 0.01*4, 0.02*3, 0.03*2 -> not below the one before, 0.04
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1, 1] and holm([]) == []
    assert holm([math.nan, 0.01, 0.2])[1:] == [0.02, 0.2] and math.isnan(holm([math.nan])[0])


def test_bootstrap_interval_covers_and_repeats():
    values = np.random.default_rng(1).normal(2, 1, 200)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)
    assert bootstrap_interval(values) == (low, high) != bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, confidence=0.5)[1] < high
    assert math.isnan(bootstrap_interval([1.0])[0])
    # more values than one portion of resamples holds
    low, high = bootstrap_interval(np.tile([0.0, 1.0], 150_000), resamples=20)
    assert 0.49 < low < high < 0.51


def test_effect_sizes():
    assert cohens_dz([1, 2, 3]) == 2
    assert rank_biserial([3, -1, 2, 0]) == pytest.approx((3 + 2 - 1) / 6)


def test_mistakes_of_tests_are_named():
    with pytest.raises(ValueError, match=r"same cases, but only one of them has 2 of them \(`a` first\)"):
        compare_paired({"a": 1.0}, {"b": 1.0})
    with pytest.raises(ValueError, match="No case has a score of both"):
        compare_paired({"a": None}, {"a": 1.0})
    with pytest.raises(ValueError, match="does not name the patient of case `a`"):
        compare_paired({"a": 1.0}, {"a": 1.0}, patients={})
    with pytest.raises(ValueError, match="`test` must be 'wilcoxon' or 't', got 'z'"):
        compare_paired({"a": 1.0}, {"a": 1.0}, test="z")
    with pytest.raises(ValueError, match=r"`p_values` must be in \[0, 1\], got 1.5"):
        holm([1.5])
    with pytest.raises(ValueError, match="`runs` is empty"):
        average_runs([])
    with pytest.raises(ValueError, match=r"`confidence` must be in \(0, 1\), got 95"):
        bootstrap_interval([1, 2], confidence=95)
    with pytest.raises(ValueError, match="`resamples` must be at least 1, got 0"):
        bootstrap_interval([1, 2], resamples=0)


def test_label_saving_is_where_the_baseline_gets_as_good():
    scratch = {10: 0.5, 20: 0.6, 40: 0.8}
    found = label_saving({5: 0.4, 10: 0.7, 20: 0.9, 30: 0.6}, scratch)
    assert [(s.equivalent, s.bound) for s in found] == [
        (10, "at most"),
        (pytest.approx(30), "exact"),
        (40, "at least"),
        (pytest.approx(20), "exact"),
    ]
    assert found[1].saving == pytest.approx(2 / 3) and found[3].saving == pytest.approx(-0.5)
    errors = label_saving({10: 0.3}, {n: 1 - s for n, s in scratch.items()}, higher_is_better=False)
    assert errors[0].equivalent == pytest.approx(30) and errors[0].score == 0.3
    as_good = label_saving({20: 0.8, 5: 0.5}, scratch)
    assert [(s.labels, s.equivalent, s.bound) for s in as_good] == [(5, 10, "exact"), (20, 40, "exact")]


def test_a_curve_that_falls_again_counts_where_it_first_gets_there():
    assert label_saving({10: 0.55}, {10: 0.5, 20: 0.6, 30: 0.4, 40: 0.7})[0].equivalent == pytest.approx(15)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_baseline_saves_nothing_over_itself(scores):
    curve = {2.0**i: s for i, s in enumerate(sorted(scores))}
    assert all(s.saving <= 0 and s.equivalent <= s.labels for s in label_saving(curve, curve))


def test_reduction_of_the_annotation_cost():
    scratch, method = {10: 0.5, 100: 0.8}, {10: 0.7, 30: 0.9, 100: 0.95}
    found = cost_reduction(method, scratch)
    assert (found.labels, found.equivalent, found.bound) == (pytest.approx(20), 100, "exact")
    assert found.saving == pytest.approx(0.8)
    assert cost_reduction({10: 0.3, 50: 0.4}, scratch).bound == "at least"
    assert cost_reduction({10: 0.85, 50: 0.9}, scratch).labels == 10
    most = cost_reduction(method, {10: 0.9, 100: 0.8})
    assert (most.score, most.equivalent, most.labels) == (0.8, 100, pytest.approx(20)), "all labels, though worse"
    errors = [{n: 1 - score for n, score in curve.items()} for curve in (method, scratch)]
    fewer = cost_reduction(*errors, higher_is_better=False)
    assert (fewer.labels, fewer.equivalent, fewer.bound) == (pytest.approx(20), 100, "exact")


def test_mistakes_of_label_saving_are_named():
    with pytest.raises(ValueError, match=r"two numbers of labels at least, and one score of the other; got 1 and 1"):
        label_saving({1: 0.5}, {1: 0.5})
    for compare, curves in ((label_saving, ({}, {1: 0.5, 2: 0.6})), (cost_reduction, ({1: 0.5, 2: 0.6}, {}))):
        with pytest.raises(ValueError, match=r"one score of the other; got 2 and 0"):
            compare(*curves)
    with pytest.raises(ValueError, match=r"above 0 and finite scores, got 0: 0.5"):
        label_saving({0: 0.5}, {1: 0.5, 2: 0.6})
    with pytest.raises(ValueError, match=r"finite scores, got 2: nan"):
        label_saving({1: 0.5}, {1: 0.5, 2: math.nan})
