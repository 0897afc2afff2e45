"""SMIT: terms by loops, what knowing nothing costs, a teacher and centers that follow, masks of each sample."""

import math

import pytest
import torch
from method_cases import BUNDLES, parsed

from monai_ssl.methods import SMIT
from monai_ssl.methods.smit import Center, cross_entropy
from monai_ssl.networks import ConvEncoder, VisionTransformer

SWIN = {"feature_size": 12, "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1], "prototypes": 16, "hidden": 8, "dim": 4}
SMALL: dict[str, dict] = {
    "pretrain": {**SWIN, "frozen": 0, "roi_size": [64, 32, 32]},
    "pretrain_2d": {**SWIN, "frozen": 0, "roi_size": [64, 64]},
}
STUDENT = ("network.encoder.", "network.norm.", "token")
MOVES = {
    "restoration": ("network.encoder.", "restorer.", "token"),
    "token_distillation": (*STUDENT, "network.token_head."),
    "view_distillation": (*STUDENT, "network.view_head."),
}
WINDOW, PATCH, GRID = (32, 16, 24), 8, (4, 2, 3)


def make(window=WINDOW, **options):
    torch.manual_seed(0)
    encoder = VisionTransformer(window_size=window, width=24, depth=2, heads=2)
    small = {"embedding": "embedding", "stride": PATCH, "prototypes": 7, "hidden": 8, "dim": 4, "frozen": 0.0}
    return SMIT(encoder, **small | options)


def batch(count=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    data = {f"view{i}": torch.randn(count, 1, *WINDOW, generator=g) for i in (1, 2)}
    for i in (1, 2):
        cells = torch.zeros(count, 1, *GRID).bernoulli(0.3, generator=g)
        data[f"visible{i}"] = cells.repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
    return data


def apart(method):
    """The same with answers that differ between cells, and another teacher and other centers than at the start."""
    g = torch.Generator().manual_seed(3)
    for network in (method.network, method.teacher.network):
        for layer in (*network.token_head.layers[::2], *network.view_head.layers[::2]):
            layer.weight.data = torch.randn(layer.weight.shape, generator=g) / layer.in_features**0.5
    for center in (method.token_center, method.view_center):
        center.mean += 0.1 * torch.randn(center.mean.shape, generator=g)
    return method


def entropy(teacher, student, center, hot, cold):
    """The cross-entropy of two lists of logits, in plain Python."""
    q = [math.exp((t - c) / hot) for t, c in zip(teacher.tolist(), center.tolist(), strict=True)]
    p = [math.exp(s / cold) for s in student.tolist()]
    return -sum(a / sum(q) * math.log(b / sum(p)) for a, b in zip(q, p, strict=True))


def test_terms_by_loops_over_samples_views_and_cells():
    method, data = apart(make(weights=[2, 3, 5], teacher_temperatures=(0.2, 0.4), warm_up=0.5)), batch()
    method.progress, hot = 0.25, 0.3
    found = {name: value.item() for name, value in method.losses(data).items()}
    student, teacher = {}, {}
    for i in (1, 2):
        maps = method._masked_maps(data[f"view{i}"], data[f"visible{i}"])
        student[i], teacher[i] = method.network.logits(maps), method.teacher(data[f"view{i}"])
        student[i] = [x.detach().double() for x in (*student[i], method._restored(maps))]
    restoration = tokens = views = 0.0
    for i in (1, 2):
        for b in range(2):
            visible, cells = data[f"visible{i}"][b, 0], []
            error = (student[i][2][b] - data[f"view{i}"][b])[0].abs()
            restoration += error[visible == 0].mean().item() / 4
            for number, (x, y, z) in enumerate((x, y, z) for x in range(4) for y in range(2) for z in range(3)):
                if visible[8 * x, 8 * y, 8 * z] == 0:
                    pair = teacher[i][0][b, number], student[i][0][b, number]
                    cells.append(entropy(*pair, method.token_center.mean, hot, 0.1))
            tokens += sum(cells) / len(cells) / 4
            pair = teacher[3 - i][1][b], student[i][1][b]
            views += entropy(*pair, method.view_center.mean, hot, 0.1) / 4
    wanted = {"restoration": 2 * restoration, "token_distillation": 3 * tokens, "view_distillation": 5 * views}
    assert found == {name: pytest.approx(value, rel=1e-5) for name, value in wanted.items()}


def test_equal_answers_of_student_and_teacher_have_no_gradient():
    logits = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    target = (logits.detach() / 0.1).softmax(-1)
    cross_entropy(target, logits / 0.1).sum().backward()
    assert logits.grad.abs().max() < 1e-12
    method, data = make(teacher_temperatures=(0.1, 0.1)).double(), batch()
    same = {f"view{i}": data["view1"].double() for i in (1, 2)}
    nothing = {f"visible{i}": torch.ones_like(same["view1"]) for i in (1, 2)}
    method.losses(same | nothing)["view_distillation"].backward()
    unmasked = [p.grad.norm() for p in method.network.parameters() if p.grad is not None]
    method.zero_grad()
    method.losses(same | {f"visible{i}": data["visible1"].double() for i in (1, 2)})["view_distillation"].backward()
    masked = [p.grad.norm() for p in method.network.parameters() if p.grad is not None]
    # the head works in float32
    assert max(unmasked) < 1e-5 * max(masked)


def test_what_all_prototypes_alike_cost_is_the_logarithm_of_their_number():
    method, data = make(prototypes=8192), batch()
    for head in (method.network.token_head, method.network.view_head):
        torch.nn.init.ones_(head.prototypes.weight)
    terms = method.losses(data)
    assert method.chance == {name: pytest.approx(0.1 * 9.0109, rel=1e-4) for name in method.chance}
    for name, cost in method.chance.items():
        assert terms[name].item() == pytest.approx(cost, rel=1e-5)


def test_what_the_teacher_says_of_visible_cells_is_not_asked_for():
    method, data = apart(make()).eval(), batch()
    plain, targets = method.losses(data)["token_distillation"], method._targets
    masked = torch.cat([data[f"visible{i}"][:, 0, ::8, ::8, ::8].flatten(1) == 0 for i in (1, 2)])
    for where, same in ((~masked, True), (masked, False)):

        def other(view, where=where):
            q, r = targets(view)
            return torch.where(where[:, :, None], q.roll(1, -1), q), r

        method._targets = other
        assert torch.equal(method.losses(data)["token_distillation"], plain) is same


def test_a_term_that_is_switched_off_changes_its_own_gradients_only():
    data, gradients = batch(), []
    for weights in ((1, 0.1, 0.1), (1, 0, 0.1)):
        method = make(weights=weights)
        terms = method.losses(data)
        torch.stack([terms[name] for name in ("restoration", "view_distillation")]).sum().backward()
        gradients.append([p.grad for p in method.parameters() if p.grad is not None])
    assert all(map(torch.equal, *gradients))


def test_masked_voxels_reach_the_teacher_only():
    method, data = apart(make()).eval(), batch()
    shown = method.panels(data)["restored"]
    other = torch.where(data["visible1"] > 0, data["view1"], torch.tensor(float("nan")))
    assert torch.equal(method.panels({**data, "view1": other})["restored"], shown)
    before, after = (method.losses(d) for d in (data, {**data, "view1": torch.where(other.isnan(), 0.0, other)}))
    assert all(not torch.equal(before[name], after[name]) for name in ("token_distillation", "view_distillation"))


def test_restored_voxels_lie_where_their_cell_does():
    """Of a volume that holds its own coordinates, at a size that is no cube, folded back by an identity."""
    side, size = 4, (16, 8, 12)
    encoder = VisionTransformer(window_size=size, width=96, depth=1, heads=2, patch=side)
    method = SMIT(encoder, embedding="embedding", stride=side, prototypes=7, hidden=8, dim=4)
    places = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in size], indexing="ij"))
    for x in places[:, None, None]:
        pick = torch.eye(side**3).reshape(-1, 1, side, side, side)
        cells = torch.nn.functional.conv3d(x, pick, stride=side)
        method.restorer = torch.nn.Identity()
        assert torch.equal(method._restored([cells]), x)


def test_centers_are_moving_averages_of_what_the_teacher_says_in_training():
    method, seen = make(center_momentum=0.9), []
    for step in range(2):
        data = batch(seed=step)
        method.losses(data)
        with torch.no_grad():
            seen.append([method.teacher(torch.cat([data["view1"], data["view2"]]))[i].flatten(0, -2) for i in (0, 1)])
        method.eval().losses(batch(seed=9))
        method.metrics(batch(seed=9))
        method.train().after_step()
    for center, first, second in zip((method.token_center, method.view_center), *seen, strict=True):
        torch.testing.assert_close(center.mean, 0.09 * first.mean(0) + 0.1 * second.mean(0))
    accumulated = Center(7, 0.9)
    for logits in (seen[0][0], seen[1][0]):
        accumulated.hold(logits)
    accumulated.release()
    torch.testing.assert_close(accumulated.mean, 0.05 * (seen[0][0].mean(0) + seen[1][0].mean(0)))


@pytest.mark.parametrize(("progress", "momentum"), [(0.0, 0.996), (0.5, 0.998), (1.0, 1.0)])
def test_the_teacher_begins_as_a_copy_and_its_momentum_rises_over_the_whole_run(progress, momentum):
    """The reference begins with another network, and looks momentum up by the step of the epoch: it stays at 0.996."""
    method = make()
    method.progress = progress
    before = [p.clone() for p in method.teacher.parameters()]
    assert all(map(torch.equal, before, method.network.parameters()))
    with torch.no_grad():
        for p in method.network.parameters():
            p.add_(1.0)
    method.after_step()
    for own, old in zip(method.teacher.parameters(), before, strict=True):
        torch.testing.assert_close(own, old + 1 - momentum, atol=1e-6, rtol=0)


def test_nothing_is_dropped_in_the_teacher():
    """That of the reference skips blocks as the student does, so that it contradicts itself."""
    encoder = VisionTransformer(window_size=WINDOW, width=24, depth=4, heads=2, drop_path=0.9)
    method = SMIT(encoder, embedding="embedding", stride=PATCH, prototypes=7, hidden=8, dim=4).train()
    x = batch()["view1"]
    assert torch.equal(method.teacher(x)[0], method.teacher(x)[0])
    assert not torch.equal(method.network(x)[0], method.network(x)[0])


def test_prototypes_stay_while_they_are_frozen():
    method, data = make(frozen=0.25), batch()
    for progress, moves in ((0.2, False), (0.25, True)):
        method.progress = progress
        method.zero_grad()
        torch.stack(list(method.losses(data).values())).sum().backward()
        heads = (method.network.token_head, method.network.view_head)
        assert [head.prototypes.weight.grad is not None for head in heads] == [moves, moves]
    assert method.sparse_gradients and not make().sparse_gradients


def test_each_sample_and_each_view_has_a_mask_of_its_own():
    views = parsed(BUNDLES / "smit/configs/pretrain.json", {}).get_parsed_content("views")
    data = views.set_random_state(0)({f"view{i}": torch.rand(3, 1, 96, 96, 96) for i in (1, 2)})
    masks = torch.cat([data[f"visible{i}"][:, 0, ::16, ::16, ::16].flatten(1) for i in (1, 2)])
    assert (masks == 0).sum(1).tolist() == [int(0.7 * 216)] * 6
    assert len({tuple(mask.tolist()) for mask in masks}) == 6


def test_metrics_of_a_teacher_that_answers_alike():
    method, data = make(), batch()
    found = method.eval().metrics(data)
    assert 0 <= found["agrees"] <= 1 < found["used"] <= 7
    method.token_center.mean[2] = -100
    assert method.metrics(data)["used"].item() == pytest.approx(1)


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"ConvEncoder has no module `net\.swinViT\.patch_embed`"):
        SMIT(ConvEncoder(2, widths=(4, 8)), stride=2)
    with pytest.raises(ValueError, match="`stride` must be"):
        make(stride=16)
