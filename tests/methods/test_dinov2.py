"""DINOv2: DINOv2-1 to DINOv2-9 of docs/properties.md."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_ssl.handlers import WeightDecay
from monai_ssl.losses import koleo
from monai_ssl.methods import DINOv2
from monai_ssl.methods.dinov2 import image_loss, token_loss
from monai_ssl.networks import ConvEncoder, VisionTransformer, with_layer_decay
from monai_ssl.schedules import linear
from monai_ssl.transforms import RandMaskedTokensd

OWN = {"width": 24, "depth": 1, "heads": 2, "prototypes": 5, "hidden": 8, "dim": 4, "kept": "student", "drop_path": 0.0}
SMALL: dict[str, dict] = {
    "pretrain": {**OWN, "roi_size": [16, 16, 16], "local_size": [8, 8, 8], "patch": 8, "num_locals": 2},
    "pretrain_2d": {**OWN, "local_size": [32, 32], "num_locals": 2},
}
MOVES = {
    "dino": ("network.encoder.", "network.image_head.", "network.mask"),
    "ibot": ("network.encoder.", "network.token_head.", "network.mask"),
    "koleo": ("network.encoder.", "network.mask"),
}
WINDOW = (16, 32, 24)
TOKENS = 2 * 4 * 3


def make(seed=0, window=WINDOW, drop_path=0.0, **options):
    torch.manual_seed(seed)
    encoder = VisionTransformer(len(window), window_size=window, width=12, depth=2, heads=2, drop_path=drop_path)
    return DINOv2(encoder, **{"prototypes": 6, "hidden": 8, "dim": 4} | options)


def batch(count=3, small=2, seed=0, window=WINDOW):
    g = torch.Generator().manual_seed(seed)
    views = {f"view{i}": torch.rand(count, 1, *window, generator=g) for i in (1, 2)}
    if small:
        views["locals"] = torch.rand(count * small, 1, *[8] * len(window), generator=g)
    mask = RandMaskedTokensd("view1", patch=8, ratio=(0.2, 0.7)).set_random_state(seed)
    return mask.batch(views)


def without_teacher_equal(method):
    """The teacher becomes another network, as after some steps."""
    torch.manual_seed(7)
    with torch.no_grad():
        for p in method.teacher.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return method


def assigned(cosines, temperature, iterations=3):
    q = np.exp(cosines / temperature)
    for _ in range(iterations):
        q /= q.sum(0, keepdims=True) * q.shape[1]
        q /= q.sum(1, keepdims=True) * q.shape[0]
    return q * len(q)


def cross_entropy(q, cosines):
    p = np.exp(cosines / 0.1)
    return -(q * np.log(p / p.sum())).sum()


def tokens_of(network, image, hidden=()):
    """Tokens (N, width) of one image, those in ``hidden`` replaced one by one."""
    cells, grid = network.encoder.tokens(image[None])
    for number in hidden:
        cells[0, number] = network.mask
    return network.encoder.transformer(cells, grid)[0]


def double(x):
    return x.detach().double().numpy()


@pytest.mark.parametrize("small", [0, 2])
def test_the_terms_are_those_of_the_papers(small):
    """DINOv2-1: by loops over samples, pairs of views and tokens, in double precision, weights 1, 2 and 3."""
    method, data = without_teacher_equal(make(weights=(1, 2, 3))), batch(small=small)
    with torch.no_grad():
        method.network.mask.normal_()
    student, teacher = method.network, method.teacher.network
    views = [data["view1"], data["view2"]]
    numbers = [[n for n in row if n >= 0] for row in data["masked"].tolist()]
    of_view = [[[n - v * TOKENS for n in row if n // TOKENS == v] for row in numbers] for v in range(2)]
    whole = [[tokens_of(teacher, x) for x in view] for view in views]
    seen = [[tokens_of(student, x, hide) for x, hide in zip(views[v], of_view[v], strict=True)] for v in range(2)]
    kept = [[[n for n in range(TOKENS) if n not in hide] for hide in of_view[v]] for v in range(2)]
    vectors = [
        torch.stack([tokens[rows].mean(0) for tokens, rows in zip(seen[v], kept[v], strict=True)]) for v in range(2)
    ]
    q = assigned(double(torch.cat([teacher.image_head(torch.stack([t.mean(0) for t in v])) for v in whole])), 0.04)
    answers = [double(student.image_head(v)) for v in vectors]
    for number in range(small):
        answers.append(double(student.image_head(student.encoder.pooled(data["locals"][number::small]))))
    pairs = [(u, v) for u in range(2) for v in range(2 + small) if u != v]
    assert len(pairs) == 2 + 2 * small
    dino = np.mean([cross_entropy(q[u * 3 + b], answers[v][b]) for u, v in pairs for b in range(3)])

    masked = [(v, b, n) for b in range(3) for v in range(2) for n in of_view[v][b]]
    targets = assigned(double(teacher.token_head(torch.stack([whole[v][b][n] for v, b, n in masked]))), 0.04)
    costs = [
        cross_entropy(t, double(student.token_head(seen[v][b][n])))
        for t, (v, b, n) in zip(targets, masked, strict=True)
    ]
    ibot = np.mean([np.mean([c for c, m in zip(costs, masked, strict=True) if m[1] == b]) for b in range(3)])

    spread = 0.0
    for z in vectors:
        unit = double(F.normalize(z, dim=1))
        apart = np.linalg.norm(unit[:, None] - unit[None], axis=2) + np.diag([9.0] * 3)
        spread -= np.log(apart.min(1)).mean()
    terms = {name: term.item() for name, term in method.losses(data).items()}
    assert terms == pytest.approx({"dino": dino, "ibot": 2 * ibot, "koleo": 3 * spread}, rel=1e-4)


def test_collapsed_prototypes_cost_log_k_and_perplexity_says_so():
    """DINOv2-2."""
    method, data = make(), batch()
    for head in ("image_head", "token_head"):
        for network in (method.network, method.teacher.network):
            with torch.no_grad():
                getattr(network, head).prototypes.weight.copy_(torch.ones(6, 4))
    terms = method.losses(data)
    for name in ("dino", "ibot"):
        assert terms[name].item() == pytest.approx(math.log(6), rel=1e-6) == method.chance[name]
    assert method.metrics(data)["perplexity"].item() == pytest.approx(6, rel=1e-5)
    assert make().metrics(data)["perplexity"] < 5.9
    torch.manual_seed(0)
    same = without_teacher_equal(make()).metrics({**data, "view2": data["view1"]})
    assert same["found"] == 1


def test_hidden_voxels_reach_no_student_and_only_the_token_term_asks_for_them():
    """DINOv2-3: volumes that are no cubes; the numbers of tokens are their places."""
    method, data = make(), batch(count=2)
    x = torch.cat([data["view1"], data["view2"]])
    nothing = torch.zeros(2, 2 * TOKENS, dtype=torch.bool)
    corners = list(itertools.product(*(range(0, side, 8) for side in WINDOW)))
    asked = torch.tensor([[5], [TOKENS + 7]])
    hidden = nothing.scatter(1, asked, True)
    first = method.network(x, hidden, asked)
    for row, number in itertools.product(range(4), range(TOKENS)):
        sample, view = row % 2, row // 2
        cell = tuple(slice(start, start + 8) for start in corners[number])
        changed = x.clone()
        changed[(row, 0, *cell)] += 1
        again = method.network(changed, hidden, asked)
        unseen = number + view * TOKENS == asked[sample, 0]
        assert all(map(torch.equal, again, first)) == bool(unseen), (row, number)
    # the gradient of the token term is that of hidden tokens, of no other
    logits = torch.randn(2, 3, 6, requires_grad=True)
    token_loss(torch.full((2, 3, 6), 1 / 6), logits.log_softmax(2), torch.tensor([[1, 1, 0], [1, 0, 0]]) > 0).backward()
    assert (logits.grad.abs().sum(2) > 0).tolist() == [[True, True, False], [True, False, False]]


def test_large_views_never_answer_themselves():
    """DINOv2-4: what the teacher makes of a large view has no weight for the student's answer to the same."""
    q = torch.eye(3)[:2, None].expand(2, 2, 3)  # view 1 is prototype 0, view 2 is prototype 1
    log_p = torch.full((2, 2, 3), -9.0)
    log_p[0, :, 1] = log_p[1, :, 0] = 0.0
    assert image_loss(q, log_p) == 0 and image_loss(q, log_p.flip(0)) == 9


def test_the_teacher_is_the_moving_average_over_the_whole_run():
    """DINOv2-5: it begins as a copy, follows by a cosine to 1 that no epoch begins anew, and skips no block."""
    method, data = make(drop_path=0.9, momentum=0.8), batch()
    optimizer = torch.optim.SGD(method.step_parameters("losses"), 0.5)
    own, other = (dict(m.named_parameters()) for m in (method.teacher.network, method.network))
    assert all(torch.equal(own[key], other[key]) for key in other)
    expected = {key: p.detach().clone() for key, p in other.items()}
    for step in range(4):
        method.progress = step / 4
        sum(method.losses(data).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        m = 1 - 0.2 * (1 + math.cos(math.pi * step / 4)) / 2
        expected = {key: m * value + (1 - m) * other[key].detach() for key, value in expected.items()}
    for key, value in expected.items():
        torch.testing.assert_close(own[key], value)
        assert other[key].requires_grad and not own[key].requires_grad
    assert method.training and not any(m.training for m in method.teacher.modules())
    method.after_start()
    assert all(torch.equal(own[key], other[key]) for key in other)


def test_the_temperature_of_the_teacher_rises_and_stays(monkeypatch):
    seen = []

    def spy(cosines, epsilon, iterations):
        seen.append(epsilon)
        assert torch.is_grad_enabled(), "else processes exchange nothing"
        return torch.full_like(cosines, 1 / 6)

    monkeypatch.setattr("monai_ssl.methods.dinov2.sinkhorn", spy)
    method = make(warm_up=0.5)
    for progress in (0.0, 0.25, 0.5, 1.0):
        method.progress = progress
        method.losses(batch())
    assert seen[::2] == seen[1::2] == pytest.approx([0.04, 0.055, 0.07, 0.07])


@pytest.mark.parametrize("place", [0, -1, 1e4])
def test_koleo_of_poles_and_by_loops(place):
    """DINOv2-6: antipodal vectors, of any length, at -log 2; equal ones are finite and pull nowhere."""
    assert koleo(torch.tensor([[2.0, 0.0], [-0.1, 0.0]])).item() == pytest.approx(-math.log(2), rel=1e-6)
    z = torch.full((4, 3), float(place), requires_grad=True)
    loss = koleo(z)
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-8), rel=1e-3) and not z.grad.any()
    with pytest.raises(ValueError, match=r"KoLeo compares samples .* got 1"):
        koleo(torch.ones(1, 3))
    with torch.autocast("cpu", torch.bfloat16):
        assert koleo(torch.randn(5, 3).bfloat16()).dtype == torch.float32


def test_frozen_prototypes_do_not_move_by_decay_or_momentum_either():
    """DINOv2-7."""
    method, data = make(frozen=0.5), batch()
    optimizer = torch.optim.AdamW(method.parameter_groups(), lr=0.01, weight_decay=0.1)
    weights = [head.prototypes.weight for head in (method.network.image_head, method.network.token_head)]
    start = [w.detach().clone() for w in weights]
    for progress, still in ((0.0, True), (0.49, True), (0.5, False)):
        method.progress = progress
        sum(method.losses(data).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
        assert all(torch.equal(a, b) == still for a, b in zip(weights, start, strict=True))
    assert method.sparse_gradients and not make().sparse_gradients


def test_what_decays_and_at_which_rate():
    """DINOv2-8: no biases, norms and scales; the embedding at a fifth of its layer's rate, at any weight decay."""
    method = make()
    groups = with_layer_decay(method.parameter_groups(), method.network.encoder, 0.5)
    optimizer = torch.optim.AdamW(groups, lr=1.0, weight_decay=9.0)
    engine = torch.nn.Module()
    engine.optimizers = {"losses": optimizer}
    engine.state = type("State", (), {"iteration": 6, "max_epochs": 2, "epoch_length": 5})
    WeightDecay(linear(0.0, 0.4))._set(engine)
    found = {id(p): (g["weight_decay"], g["lr_scale"]) for g in optimizer.param_groups for p in g["params"]}
    encoder = method.network.encoder
    assert found[id(encoder.embedding.weight)] == pytest.approx((0.2, 0.2 * 0.125))
    assert found[id(encoder.embedding.bias)] == pytest.approx((0.0, 0.2 * 0.125))
    assert found[id(encoder.transformer.positions)] == pytest.approx((0.2, 0.125))
    assert found[id(encoder.transformer.blocks[1].scale1)] == (0.0, 0.5)
    assert found[id(method.network.mask)] == (0.0, 1.0)
    assert found[id(method.network.token_head.prototypes.weight)] == pytest.approx((0.2, 1.0))
    assert len(found) == len(list(method.step_parameters("losses")))


@pytest.mark.parametrize("window", [(16, 24), WINDOW])
def test_masked_tokens_are_uniform_sets_of_one_view(window):
    """DINOv2-9: ratio and view of each sample drawn anew, no token twice, any pair of tokens as likely as another."""
    count = math.prod(side // 8 for side in window)
    transform = RandMaskedTokensd("view1", patch=8, ratio=(0.3, 0.7)).set_random_state(0)
    x = torch.empty(1).expand(2000, 1, *window)
    out = transform.batch({"view1": x, "view2": x})
    assert out["view1"] is x
    rows = [[n for n in row if n >= 0] for row in out["masked"].tolist()]
    assert all(row == sorted(set(row)) and len({n // count for n in row}) == 1 for row in rows)
    shares = np.array([len(row) / count for row in rows])
    assert shares.min() >= 0.3 - 1 / count and shares.max() <= 0.7 and out["masked"].shape[1] == int(0.7 * count)
    assert np.mean([row[0] >= count for row in rows]) == pytest.approx(0.5, abs=0.05)
    hits = np.zeros((count, count))
    for row in rows:
        local = np.array(row) % count
        hits[np.ix_(local, local)] += 1
    off = hits[~np.eye(count, dtype=bool)]
    assert hits.diagonal().std() / hits.diagonal().mean() < 0.06 and off.std() / off.mean() < 0.1


def test_the_largest_ratio_is_no_rounding_more_and_one_token_is_masked_at_least():
    tiny = RandMaskedTokensd("view1", patch=8, ratio=(0.01, 0.02)).set_random_state(0)
    assert (tiny.batch({"view1": torch.rand(2, 1, 16, 8)})["masked"] >= 0).sum() == 2
    with pytest.raises(ValueError, match=r"Tokens of 8 voxels do not fill an image of \[16, 12\]"):
        tiny.batch({"view1": torch.rand(2, 1, 16, 12)})


def test_either_network_can_be_kept_and_others_are_refused():
    student, teacher = make(kept="student"), make()
    assert student.encoder is student.network.encoder and teacher.encoder is teacher.teacher.network.encoder
    with pytest.raises(ValueError, match=r"ConvEncoder has none: take .*VisionTransformer.* the method `swav`"):
        DINOv2(ConvEncoder(2, widths=(4, 8)))
    with pytest.raises(ValueError, match="`kept` must be"):
        make(kept="both")
