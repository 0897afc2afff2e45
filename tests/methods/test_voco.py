"""VoCo: overlaps where crops lie, terms by loops and closed forms, and which side gets a gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from distributed_cases import without_batch_norm

from monai_ssl.methods import VoCo
from monai_ssl.methods.voco import prediction, regularization, similarities
from monai_ssl.networks import ConvEncoder

OWN = {"depths": [1, 1, 1, 1], "dim": 8, "targets": 1}
SMALL = {
    "pretrain": {**OWN, "grid": [2, 2, 1]},
    "pretrain_2d": {**OWN, "widths": [2, 4, 8, 16], "roi_size": [32, 32], "grid": [2, 2]},
}
MOVES = dict.fromkeys(("intra", "inter", "regularization"), ("network.encoder.", "network.projector."))


def make(**options):
    torch.manual_seed(0)
    return without_batch_norm(VoCo(ConvEncoder(2, widths=(2, 4, 8)), **{"dim": 12, "dropout": 0.0} | options))


def batch(scans=3, targets=2, bases=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    y = torch.rand(scans, targets, bases, generator=g) * torch.tensor([1.0, 1.0] + [0.0] * (bases - 2))
    crops = {"targets": scans * targets, "bases": scans * bases}
    made = {key: torch.rand(n, 1, 16, 16, generator=g) for key, n in crops.items()}
    return made | {"overlap": y / y.sum(2, keepdim=True)}


def units(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def near(y, found):
    return -math.log(1 - abs(y - found) + 1e-6)


def by_loops(y, found, wrong):
    """The term of one scan: T lists of N numbers."""
    pairs = [pair for rows in zip(y, found, strict=True) for pair in zip(*rows, strict=True)]
    rest = [wrong(b) for a, b in pairs if a == 0]
    return sum(a * near(a, b) for a, b in pairs) / sum(a for a, _ in pairs) + sum(rest) / max(len(rest), 1)


def relu_cosines(z, b):
    return [[max(0.0, float(F.cosine_similarity(u, v, dim=0))) for v in b] for u in z]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_terms_by_loops(version):
    method, data = make(version=version).eval(), batch()
    torch.nn.init.normal_(next(method.teacher.parameters()), std=0.1)  # no copy any more
    with torch.no_grad():
        pooled = [torch.cat([m.flatten(2).mean(2) for m in method.encoder(data[k])], 1) for k in ("targets", "bases")]
        student = [method.network.projector(x).double().unflatten(0, (3, -1)) for x in pooled]
        if version == "v1":
            teacher = [method.teacher(data[k]).double().unflatten(0, (3, -1)) for k in ("targets", "bases")]
        else:
            teacher = [method.teacher(x).double().unflatten(0, (3, -1)) for x in pooled]
    y, intra, inter, regular = data["overlap"].tolist(), 0.0, 0.0, 0.0
    for i in range(3):
        j = (i + 1) % 3
        within = relu_cosines(student[0][i], teacher[1][i])
        if version == "v1":
            other = relu_cosines(teacher[0][i], student[1][i])
            within = [[(a + b) / 2 for a, b in zip(*rows, strict=True)] for rows in zip(within, other, strict=True)]
            intra += by_loops(y[i], within, lambda x: x**2) / 3
        else:
            intra += by_loops(y[i], within, lambda x: near(0, x)) / 3
            soft, between = relu_cosines(teacher[0][i], teacher[1][j]), relu_cosines(student[0][i], student[1][j])
            inter += by_loops(soft, between, lambda x: near(0, x)) / 3
        pairs = relu_cosines(student[1][i], student[1][i])
        regular += sum(pairs[a][b] ** 2 for a in range(4) for b in range(a)) / 6 / 3
    found = {name: x.item() for name, x in method.losses(data).items()}
    assert found.pop("intra") == pytest.approx(intra, rel=1e-4)
    assert found.pop("regularization") == pytest.approx(regular, rel=1e-4)
    assert found == ({} if version == "v1" else {"inter": pytest.approx(inter, rel=1e-4)})


def test_right_answers_cost_nothing_and_doubled_batches_the_same():
    y = torch.eye(4)[:2].expand(3, 2, 4)
    assert prediction(y, y, torch.zeros_like(y)).abs() < 2e-6
    y, x = batch()["overlap"], torch.rand(3, 2, 4)
    twice = prediction(*(v.repeat(2, 1, 1) for v in (y, x, x.square())))
    torch.testing.assert_close(twice, prediction(y, x, x.square()))
    worst = prediction(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]]), torch.full((1, 1, 2), 13.8))
    assert worst.isfinite() and worst < 28


def test_regularizer_is_one_for_equal_and_zero_for_orthogonal_bases_and_moves_all_alike():
    """The authors' code differentiates the first of each pair only: the last base of a scan then gets no gradient."""
    assert regularization(torch.ones(2, 5, 1)).item() == pytest.approx(1)
    assert regularization(torch.eye(5)[None]) == 0
    bases = units(1, 6, 3).abs().requires_grad_()
    regularization(bases).backward()
    assert (bases.grad[0].norm(dim=1) > 1e-3).all()
    order = torch.tensor([5, 3, 0, 4, 2, 1])
    moved = bases.detach()[:, order].requires_grad_()
    regularization(moved).backward()
    torch.testing.assert_close(moved.grad, bases.grad[:, order])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_teacher_begins_as_a_copy_follows_and_gets_no_gradient(version):
    method, data = make(version=version, momentum=0.75), batch()
    followed = method.network if version == "v1" else method.network.projector
    weights = [p.detach().clone() for p in followed.parameters()]
    assert all(map(torch.equal, method.teacher.network.parameters(), weights))
    torch.stack(list(method.losses(data).values())).sum().backward()
    assert all(p.grad is None for p in method.teacher.parameters())
    with torch.no_grad():
        for p in followed.parameters():
            p.add_(1.0)
    method.after_step()
    for own, old in zip(method.teacher.network.parameters(), weights, strict=True):
        torch.testing.assert_close(own, old + 0.25)


def test_gradients_reach_the_students_side_only():
    """Of version 2: bases of a scan within the scan are the teacher's, between scans the student's."""
    z, b, tz, tb = (units(2, 3, 5, seed=i).requires_grad_() for i in range(4))
    y = torch.full((2, 3, 3), 1 / 3, dtype=torch.float64)
    intra, inter, regular = VoCo._version_2(y, (z, b), (tz, tb.detach()))
    for term, reached in ((intra, {"z"}), (inter, {"z", "b"}), (regular, {"b"})):
        grads = torch.autograd.grad(term, (z, b, tz), retain_graph=True, allow_unused=True)
        assert {
            n for n, g in zip(("z", "b", "tz"), grads, strict=True) if g is not None and g.abs().sum() > 0
        } == reached


def test_the_term_within_scans_knows_no_other_and_order_of_scans_is_free():
    method, data = make(), batch()
    plain = method.losses(data)
    order = torch.tensor([2, 0, 1])  # a rotation: the next scan stays the next

    def arranged(x):
        return x.unflatten(0, (3, -1))[order].flatten(0, 1) if x.ndim == 4 else x[order]

    for name, x in method.losses({k: arranged(v) for k, v in data.items()}).items():
        torch.testing.assert_close(x, plain[name])
    pair = {k: v[: len(v) // 3 * 2] for k, v in data.items()}
    other = {
        k: torch.cat([v[: len(v) // 2], torch.rand_like(v[len(v) // 2 :])]) for k, v in pair.items() if k != "overlap"
    }
    student, teacher = method._vectors(pair)
    changed, _ = method._vectors({**other, "overlap": pair["overlap"]})
    torch.testing.assert_close(changed[0][0], student[0][0])
    y, x = pair["overlap"], similarities(student[0], teacher[1])
    each = [prediction(y[i : i + 1], x[i : i + 1], x[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(prediction(y, x, x), torch.stack(each).mean())


def test_metrics_and_chance():
    method, data = make().eval(), batch()
    vectors = (torch.eye(4)[[0, 1]].expand(3, 2, 4), torch.eye(4).expand(3, 4, 4))
    method._vectors = lambda batch: (vectors, vectors)
    right = {"overlap": torch.eye(4)[:2].expand(3, 2, 4)}
    assert method.metrics(right) == {"accuracy": 1, "explained": 1}
    flat = (torch.full((3, 2, 4), 0.25), torch.eye(4).expand(3, 4, 4))
    method._vectors = lambda batch: (flat, flat)
    assert method.metrics(data)["explained"].abs() < 1e-6
    assert make(version="v1", weights=[1, 3]).chance == {"regularization": 3}
