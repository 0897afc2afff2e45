import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.evaluation import cross_validated_linear_probe, knn_accuracy, leave_one_out_knn, linear_probe
from monai_ssl.evaluation.probes import area_under_curve, fit_logistic, knn_predict, linear_scores, scored


def blobs(n=60, classes=3, distance=2.0, dimensions=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return distance * torch.eye(classes, dimensions)[y] + torch.randn(n, dimensions, generator=g), y


def brute_force_knn(train_x, train_y, test_x, k, forbidden=None):
    predicted = []
    for i, t in enumerate(test_x.double()):
        ranked = sorted(
            (-(float(t @ s) / float(t.norm() * s.norm())), j)
            for j, s in enumerate(train_x.double())
            if forbidden is None or not forbidden[i, j]
        )[:k]
        votes = {}
        for distance, j in ranked:
            count, near = votes.get(int(train_y[j]), (0, 0.0))
            votes[int(train_y[j])] = (count + 1, near - distance)
        predicted.append(max(votes, key=votes.get))
    return torch.tensor(predicted)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 8), classes=st.integers(2, 4))
def test_knn_is_brute_force(seed, k, classes):
    x, y = blobs(24, classes, 1.0, seed=seed)
    t, _ = blobs(10, classes, 1.0, seed=seed + 1)
    assert torch.equal(knn_predict(x, y, t, k), brute_force_knn(x, y, t, k))
    groups = torch.arange(24) // 2
    forbidden = groups[:, None] == groups[None]
    expected = (brute_force_knn(x, y, x, k, forbidden) == y).double().mean()
    assert leave_one_out_knn(x, y, k, groups) == pytest.approx(float(expected))


def test_knn_forgets_the_vector_itself_and_its_group():
    x, y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
    assert knn_accuracy(x, y, x, y, k=1) == 1.0
    assert leave_one_out_knn(x, y, k=1) < 0.8
    twins, labels = x.repeat(2, 1), y.repeat(2)
    assert leave_one_out_knn(twins, labels, k=1) == 1.0
    assert leave_one_out_knn(twins, labels, k=1, groups=torch.arange(40).repeat(2)) < 0.8


def test_knn_over_more_than_one_chunk():
    x, y = blobs(2500, 2, 6.0)
    assert leave_one_out_knn(x, y) > 0.99


def test_logistic_regression_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    for classes, strength in ((3, 1.0), (2, 0.1)):
        x, y = blobs(80, classes, 1.5)
        weight, bias = fit_logistic(x, y, strength)
        # with two classes theirs is one vector, ours two opposite ones, each half as long: half the penalty
        c = strength if classes == 3 else 2 * strength
        theirs = linear_model.LogisticRegression(C=c, tol=1e-8, max_iter=1000).fit(x.double().numpy(), y.numpy())
        ours = (x.double() @ weight + bias).softmax(1).numpy()
        np.testing.assert_allclose(ours, theirs.predict_proba(x.double().numpy()), atol=1e-4)


def test_linear_probe_separates_blobs_and_ignores_scale_and_dead_dimensions():
    (x, y), (t, u) = blobs(90, 3, 6.0), blobs(60, 3, 6.0, seed=1)
    scores = linear_probe(x, y, t, u)
    assert scores["accuracy"] > 0.95 and "auc" not in scores
    dead = torch.cat([x * 1e3, torch.ones(90, 1)], 1), torch.cat([t * 1e3, torch.ones(60, 1)], 1)
    torch.testing.assert_close(linear_scores(dead[0], y, dead[1]), linear_scores(x, y, t), atol=1e-3, rtol=1e-3)


def test_balanced_accuracy_counts_classes_alike():
    scores = torch.tensor([[1.0, 0.0]] * 10)
    y = torch.tensor([0] * 8 + [1] * 2)
    assert scored(scores, y) == {"accuracy": pytest.approx(0.8), "balanced_accuracy": 0.5, "auc": 0.5}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_area_under_curve_is_the_share_of_ordered_pairs(pairs):
    score = torch.tensor([float(s) for s, _ in pairs])
    positive = torch.tensor([p for _, p in pairs])
    if positive.all() or not positive.any():
        return
    wins = [float(a > b) + 0.5 * float(a == b) for a in score[positive] for b in score[~positive]]
    assert area_under_curve(score, positive) == pytest.approx(sum(wins) / len(wins))


def test_folds_keep_groups_together():
    # each patient has an own constant vector, and classes mean nothing: only a leak could tell them
    g = torch.Generator().manual_seed(0)
    patients = torch.arange(40).repeat_interleave(4)
    x = torch.randn(40, 60, generator=g)[patients] + 0.01 * torch.randn(160, 60, generator=g)
    y = (torch.randperm(40, generator=g) % 2)[patients]
    shuffled = torch.randperm(160, generator=g)
    x, y, patients = x[shuffled], y[shuffled], patients[shuffled]
    assert cross_validated_linear_probe(x, y, groups=patients)["accuracy"] < 0.8
    assert cross_validated_linear_probe(x, y)["accuracy"] > 0.95


def test_refusals():
    x, y = blobs(6)
    with pytest.raises(ValueError, match=r"`k` = 7 .* has 6 that may serve"):
        knn_accuracy(x, y, x, y, k=7)
    with pytest.raises(ValueError, match="has 5 that may serve"):
        leave_one_out_knn(x, y, k=6)
    with pytest.raises(ValueError, match="7 folds need as many groups of vectors, got 6"):
        cross_validated_linear_probe(x, y, folds=7)
    with pytest.raises(ValueError, match=r"vectors \(N, D\) and N classes"):
        linear_probe(x, y[:-1], x, y)
