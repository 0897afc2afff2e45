"""kNN probe and linear probe (logistic regression) of frozen representations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK = 1024


def knn_predict(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, k: int = 5, forbidden: Tensor | None = None
) -> Tensor:
    """Return the class (M,) that most of the ``k`` nearest neighbors by cosine have; the nearer ones win a tie.

    Args:
        train_x: representations (N, D).
        train_y: classes (N,), integers from 0.
        test_x: representations (M, D).
        k: number of neighbors.
        forbidden: (M, N), true where a training vector must not serve a test vector, such as itself.

    Raises:
        ValueError: when shapes do not fit, or fewer than ``k`` neighbors are there.
    """
    _check(train_x, train_y)
    allowed = len(train_x) if forbidden is None else int((~forbidden).sum(1).min())
    if not 1 <= k <= allowed:
        raise ValueError(f"`k` = {k} neighbors are asked for, but a vector has {allowed} that may serve; lower `k`.")
    classes = F.one_hot(train_y.long()).double()
    train, test = F.normalize(train_x.double(), dim=1), F.normalize(test_x.double(), dim=1)
    predicted = []
    for at in range(0, len(test), _CHUNK):
        similarity = test[at : at + _CHUNK] @ train.T
        if forbidden is not None:
            similarity = similarity.masked_fill(forbidden[at : at + _CHUNK], -torch.inf)
        nearest = similarity.topk(k, dim=1)
        # the similarities of all neighbors together weigh less than half a vote
        votes = (1 + nearest.values / (4 * k)).unsqueeze(2) * classes[nearest.indices]
        predicted.append(votes.sum(1).argmax(1))
    return torch.cat(predicted)


def knn_accuracy(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, k: int = 5) -> float:
    """Return the share of test vectors whose class their ``k`` nearest training vectors tell, in [0, 1]."""
    _check(test_x, test_y)
    return float((knn_predict(train_x, train_y, test_x, k) == test_y).double().mean())


def leave_one_out_knn(x: Tensor, y: Tensor, k: int = 5, groups: Tensor | None = None) -> float:
    """Return the share of vectors whose class their nearest others tell, in [0, 1].

    Args:
        x: representations (N, D).
        y: classes (N,).
        k: number of neighbors.
        groups: (N,), such as patients; a vector is never served by one of its own group.
    """
    group = torch.arange(len(x), device=x.device) if groups is None else groups
    forbidden = group[:, None] == group[None, :]
    return float((knn_predict(x, y, x, k, forbidden) == y).double().mean())


def fit_logistic(x: Tensor, y: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Fit multinomial logistic regression: minimize :math:`\|W\|^2 / 2 + s \sum_i L_i` over weights and bias.

    The problem is convex and solved to convergence in double precision, so the result depends on nothing random; it
    is that of scikit-learn's ``LogisticRegression(C=strength)`` (with two classes, which share one weight vector
    there, of ``C=2 * strength``), and runs where ``x`` is.

    Args:
        x: features (N, D), best standardized.
        y: classes (N,), integers from 0.
        strength: s, inverse strength of the penalty.

    Returns:
        Weights (D, K) and bias (K,).
    """
    _check(x, y)
    data, target = x.detach().double(), y.long()
    classes = int(target.max()) + 1
    weight = torch.zeros(data.shape[1], classes, dtype=torch.float64, device=data.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, device=data.device, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=1000, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        misfit = F.cross_entropy(data @ weight + bias, target)
        value = misfit + weight.square().sum() / (2 * strength * len(data))
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(objective)
    return weight.detach(), bias.detach()


def linear_probe(
    train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor, strength: float = 1.0
) -> dict[str, float]:
    """Fit logistic regression on standardized training vectors and score it on test vectors.

    Returns:
        ``accuracy``, ``balanced_accuracy`` (mean recall of the classes in the test part) and, for two classes that
        both occur in the test part, ``auc``; all in [0, 1].
    """
    _check(test_x, test_y)
    scores = linear_scores(train_x, train_y, test_x, strength)
    return scored(scores, test_y)


def linear_scores(train_x: Tensor, train_y: Tensor, test_x: Tensor, strength: float = 1.0) -> Tensor:
    """Return the scores (M, K) that logistic regression on standardized training vectors gives to test vectors."""
    weight, bias = fit_linear(train_x, train_y, strength)
    return test_x.double() @ weight + bias


def fit_linear(x: Tensor, y: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """Fit logistic regression on standardized vectors; return weights (D, K) and bias (K,) for vectors as they are.

    Args:
        x: vectors (N, D).
        y: classes (N,), or answers (N, K) to yes-or-no questions, each fitted by itself.
        strength: see :func:`fit_logistic`.
    """
    mean, std = x.double().mean(0), x.double().std(0, correction=0)
    std = torch.where(std > 1e-12, std, torch.ones_like(std))
    scaled = (x.double() - mean) / std
    if y.ndim == 2:
        answers = [_yes_or_no(scaled, y[:, k], strength) for k in range(y.shape[1])]
        weight, bias = (torch.stack(parts, -1) for parts in zip(*answers, strict=True))
    else:
        weight, bias = fit_logistic(scaled, y, strength)
    return weight / std[:, None], bias - (mean / std) @ weight


def _yes_or_no(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    if len(y.unique()) < 2:
        return x.new_zeros(x.shape[1]), x.new_tensor(0.0)
    weight, bias = fit_logistic(x, y.long(), strength)
    return weight[:, 1] - weight[:, 0], bias[1] - bias[0]


def cross_validated_linear_probe(
    x: Tensor, y: Tensor, folds: int = 5, groups: Tensor | None = None, strength: float = 1.0
) -> dict[str, float]:
    """Score logistic regression where there is no test part: each vector by a fit on the other folds.

    Folds are balanced over classes and depend on nothing random; all vectors of a group share a fold.
    """
    _check(x, y)
    fold = _folds(y, folds, torch.arange(len(x), device=x.device) if groups is None else groups)
    scores = torch.full((len(x), int(y.max()) + 1), -torch.inf, dtype=torch.float64, device=x.device)
    for f in fold.unique():
        here = fold == f
        found = linear_scores(x[~here], y[~here], x[here], strength)
        scores[here, : found.shape[1]] = found
    return scored(scores, y)


def scored(scores: Tensor, y: Tensor) -> dict[str, float]:
    """Return accuracy, balanced accuracy and, for two classes, AUC of class scores (N, K)."""
    right = (scores.argmax(1) == y).double()
    result = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(torch.stack([right[y == c].mean() for c in y.unique()]).mean()),
    }
    if scores.shape[1] == 2 and len(y.unique()) == 2:
        result["auc"] = area_under_curve(scores[:, 1] - scores[:, 0], y == 1)
    return result


def area_under_curve(score: Tensor, positive: Tensor) -> float:
    """Return the probability that a positive scores higher than a negative, a tie counting half."""
    hit, miss = score[positive], score[~positive]
    below = torch.searchsorted(miss.sort().values, hit, right=False)
    up_to = torch.searchsorted(miss.sort().values, hit, right=True)
    return float((below + up_to).double().mean() / (2 * len(miss)))


def _folds(y: Tensor, folds: int, groups: Tensor) -> Tensor:
    """Give each group, in order of its class, the next fold."""
    names, member = groups.unique(return_inverse=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"{folds} folds need as many groups of vectors, got {len(names)}; lower `folds`.")
    # a group's class is that of its first vector; sorting by it spreads each class over all folds
    first = torch.stack([y[member == g][0] for g in range(len(names))])
    order = first.argsort(stable=True)
    fold_of_group = torch.empty_like(order)
    fold_of_group[order] = torch.arange(len(names), device=y.device) % folds
    return fold_of_group[member]


def _check(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(f"A probe needs vectors (N, D) and N classes, got {tuple(x.shape)} and {tuple(y.shape)}.")


__all__ = [
    "area_under_curve",
    "cross_validated_linear_probe",
    "fit_linear",
    "fit_logistic",
    "knn_accuracy",
    "knn_predict",
    "leave_one_out_knn",
    "linear_probe",
    "linear_scores",
    "scored",
]
