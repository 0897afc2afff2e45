import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.evaluation.groups import gains_by_group, hard_and_easy, hard_easy_gains


def named(values):
    return {f"case{i:03d}": float(v) for i, v in enumerate(values)}


@given(st.dictionaries(st.text(max_size=3), st.none() | st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_groups_partition_the_cases(scores, cutoff):
    groups = hard_and_easy({"seed 0": scores}, cutoff)
    assert sorted(case for cases in groups.values() for case in cases) == sorted(scores)
    assert all(scores[case] <= cutoff for case in groups["hard"])
    assert all(scores[case] > cutoff for case in groups["easy"])
    assert all(scores[case] is None for case in groups["unscored"])


def test_a_case_at_the_cutoff_is_hard_and_runs_are_averaged():
    assert hard_and_easy({"r": {"a": 0.4, "b": 0.41}}) == {"hard": ("a",), "easy": ("b",), "unscored": ()}
    runs = {"r0": {"a": 0.0, "b": 0.6, "c": None}, "r1": {"a": 0.9, "b": 0.1, "c": math.nan}}
    assert hard_and_easy(runs) == {"hard": ("b",), "easy": ("a",), "unscored": ("c",)}


@pytest.fixture(scope="module")
def identical():
    """Six runs of models that do not differ but by noise."""
    generator = np.random.default_rng(0)
    difficulty = generator.uniform(0.1, 0.9, 400)
    return [named(np.clip(difficulty + generator.normal(0, 0.15, 400), 0, 1)) for _ in range(6)]


def test_models_that_do_not_differ_gain_nothing_on_hard_cases(identical):
    a, b, *rest = identical
    hard, easy, unscored = hard_easy_gains({"a": a}, {"b": b}, {f"r{i}": run for i, run in enumerate(rest)})
    assert hard.group == "hard" and hard.low < 0 < hard.high and easy.low < 0 < easy.high
    assert hard.n + easy.n == 400 and hard.n > 100
    assert unscored.n == 0 and math.isnan(unscored.gain)


def test_a_circular_division_is_refused(identical):
    a, b, *_ = identical
    for reference in ({"b": b}, {"a": a}):
        with pytest.raises(ValueError, match=r"reference run `[ab]` is compared, too"):
            hard_easy_gains({"a": a}, {"b": b}, reference)
    # under another name it would invent a gain
    hard, *_ = hard_easy_gains({"a": a}, {"b": b}, {"c": b})
    assert hard.low > 0.02


def test_the_cutoff_and_the_seed_are_passed_on(identical):
    a, b, c, *_ = identical
    hard, *_ = hard_easy_gains({"a": a}, {"b": b}, {"c": c}, cutoff=0.2, confidence=0.5, seed=3)
    narrow, *_ = hard_easy_gains({"a": a}, {"b": b}, {"c": c}, cutoff=0.2, seed=3)
    assert hard.n == sum(score <= 0.2 for score in c.values()) and hard.high - hard.low < narrow.high - narrow.low


def test_gains_are_means_of_pairs():
    groups = {"first": ["a", "b", "c"], "second": ["d"]}
    method, baseline = {"a": 1.0, "b": 0.5, "c": None, "d": 0.2}, {"a": 0.0, "b": 0.25, "c": 0.3, "d": 0.4}
    first, second = gains_by_group(method, baseline, groups)
    assert (first.gain, first.n, first.dropped) == (0.625, 2, 1) and first.low == 0.25 and first.high == 1
    assert second.gain == pytest.approx(-0.2) and math.isnan(second.low)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="Case `a` is in the groups `x` and `y`"):
        gains_by_group({"a": 1.0}, {"a": 1.0}, {"x": ["a"], "y": ["a"]})
    with pytest.raises(ValueError, match="Group `x` names the case `b`"):
        gains_by_group({"a": 1.0}, {"a": 1.0}, {"x": ["b"]})
    with pytest.raises(ValueError, match="same cases"):
        gains_by_group({"a": 1.0}, {"b": 1.0}, {"x": ["a"]})
