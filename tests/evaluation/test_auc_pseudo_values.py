"""The jackknife of an AUC beside brute force, DeLong's formula and simulated nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from monai_ssl.evaluation.auc_pseudo_values import auc_pseudo_values
from monai_ssl.evaluation.statistics import compare_paired


@given(st.integers(0, 10**6), st.integers(6, 30), st.integers(2, 12))
def test_like_leaving_each_patient_out(seed, images, patients):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, images).astype(float)
    truth, owner = rng.integers(0, 2, images), rng.integers(0, patients, images)
    names = [f"p{o}" for o in owner]
    found = auc_pseudo_values(scores, truth, names)
    left = {name: owner != int(name[1:]) for name in set(names)}
    assert found.keys() == left.keys()
    if any(len(set(truth[keep])) < 2 for keep in left.values()):
        assert all(math.isnan(value) for value in found.values())
        return
    n, whole = len(left), roc_auc_score(truth, scores)
    for name, keep in left.items():
        assert found[name] == pytest.approx(n * whole - (n - 1) * roc_auc_score(truth[keep], scores[keep]))


def delong_variance(a, b, truth):
    """Of the difference of two AUCs, by the formula of the paper."""
    placements = []
    for scores in (a, b):
        x, y = scores[truth == 1], scores[truth == 0]
        wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
        placements.append((wins.mean(1), wins.mean(0)))
    ten, one = (np.cov(placements[0][side], placements[1][side]) for side in (0, 1))
    s = ten / (truth == 1).sum() + one / (truth == 0).sum()
    return s[0, 0] + s[1, 1] - 2 * s[0, 1]


def pair_of_methods(seed, n=160):
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) < n // 4).astype(int)
    shared = truth + rng.normal(size=n)
    return shared + rng.normal(size=n), shared + rng.normal(size=n), truth


def test_the_variance_is_delongs():
    names = [str(i) for i in range(160)]
    ratios = []
    for seed in range(20):
        a, b, truth = pair_of_methods(seed)
        values = [auc_pseudo_values(scores, truth, names) for scores in (a, b)]
        differences = np.array([values[0][name] - values[1][name] for name in names])
        assert differences.mean() == pytest.approx(roc_auc_score(truth, a) - roc_auc_score(truth, b), abs=1e-9)
        ratios.append(differences.var(ddof=1) / len(names) / delong_variance(a, b, truth))
    assert np.mean(ratios) == pytest.approx(1, abs=0.02) and np.ptp(ratios) < 0.03


def test_equal_methods_are_found_different_as_often_as_the_level_says():
    names = [str(i) for i in range(160)]
    p_values = []
    for seed in range(400):
        a, b, truth = pair_of_methods(seed)
        values = [auc_pseudo_values(scores, truth, names) for scores in (a, b)]
        p_values.append(compare_paired(*values, test="t").p_value)
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08


def test_images_of_one_patient_are_one_observation():
    a, _, truth = pair_of_methods(0)
    names = [str(i) for i in range(160)]
    alone = np.array(list(auc_pseudo_values(a, truth, names).values()))
    twice = auc_pseudo_values(np.repeat(a, 2), np.repeat(truth, 2), np.repeat(names, 2).tolist())
    assert sorted(twice.values()) == pytest.approx(sorted(alone))


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="Got 3 scores, 2 truths and 3 patients"):
        auc_pseudo_values([0.1, 0.2, 0.3], [0, 1], ["a", "b", "c"])
    with pytest.raises(ValueError, match="`truth` must be 0 or 1"):
        auc_pseudo_values([0.1, 0.2], [0, 2], ["a", "b"])
