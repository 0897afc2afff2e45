"""PCRLv1: PCRLv1-5 to PCRLv1-9, PCRLv1-11 to PCRLv1-16 of docs/properties.md."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.losses import info_nce
from monai_ssl.methods import PCRLv1
from monai_ssl.methods.pcrlv1 import BRANCHES
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet, SkipUNet, batch_to_group_norm
from monai_ssl.transforms.spatial.orientation import Orientation

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 20]],
        "augment#0#sigma": [0, 1],
        "network_def#queue_size": 16,
    },
    "pretrain_2d": {"cutout#0#size": 8, "network_def#queue_size": 16},
}
MOVES = {
    "contrast": ("network.encoder.", "projector."),
    "restore_online": ("network.encoder.", "network.decoder.", "network.head.", "attention."),
    "restore_momentum": ("network.decoder.", "network.head.", "attention."),
    "restore_hybrid": ("network.encoder.", "network.decoder.", "network.head.", "attention."),
}
WIDTHS = (4, 8, 16, 32)


def make(preset="paper", dims=3, **options) -> PCRLv1:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=WIDTHS) if dims == 3 else ResNetEncoder(width=8)
    return PCRLv1(RestorationUNet(encoder, bounded=dims == 3), preset, **{"queue_size": 12} | options)


def batch(dims=3, size=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (1, 16, 16, 8) if dims == 3 else (3, 64, 64)
    return {name: torch.rand(size, *shape, generator=g) for name in ("view1", "view2", "target1", "target2")}


def settled(method):
    """Both branches differ, batch norm has seen images, and nothing couples the samples any more."""
    with torch.no_grad():
        for seed in range(20):
            x = batch(seed=seed)["view1"]
            method.restore(x), method._embed_momentum(x)
        for p in method.momentum_branch.parameters():
            p.add_(0.1 * torch.randn_like(p))
    method.queue.held.clear()
    return method.eval()


def scripted(method, shares, orientations=None):
    """Take shares and transformations from lists instead of drawing them."""
    shares, told = list(shares), list(orientations or [])
    method._draw_share = lambda: shares.pop(0)
    if orientations is not None:
        method._draw_orientation = lambda x: told.pop(0)
    return method


def turns(*quarters, count=3):
    return [Orientation.same(count, (k % 2 == 0, k > 1, False), k) for k in quarters]


def total(terms):
    return torch.stack(list(terms.values())).sum()


# momentum ----------------------------------------------------------------------------------------------------------


def test_momentum_is_the_presets_unless_given():
    assert [make(p).momentum for p in ("paper", "reference")] == [0.99, 0.999] and make(momentum=0.5).momentum == 0.5


# PCRLv1-5 to PCRLv1-7, PCRLv1-15 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "branch"), [(1.0, "online"), (0.0, "momentum")])
def test_at_the_ends_the_hybrid_is_one_of_the_two(share, branch):
    method = scripted(settled(make()), [share], turns(1, 1, 1))
    terms = method.losses(batch())
    assert torch.equal(terms["restore_hybrid"], terms[f"restore_{branch}"])
    assert terms["restore_online"] != terms["restore_momentum"]


def test_a_momentum_skip_reaches_the_mix_but_not_the_ordinary_branch():
    method, data = settled(make()), batch()
    before = scripted(method, [0.3], turns(1, 2, 3)).losses(data)
    embed = method._embed_momentum

    def perturbed(x):
        features, key = embed(x)
        return [features[0] + 1, *features[1:]], key

    method._embed_momentum = perturbed
    after = scripted(method, [0.3], turns(1, 2, 3)).losses(data)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"contrast", "restore_online"}


def test_contrast_does_not_know_the_transformation():
    method, data = settled(make()), batch()
    one, other = (scripted(method, [0.3], turns(*k)).losses(data) for k in ((0, 0, 0), (1, 2, 3)))
    assert torch.equal(one["contrast"], other["contrast"]) and one["restore_online"] != other["restore_online"]


def test_the_transformation_is_told_to_the_decoder():
    """The same image, restored for two transformations, differs by the attention only."""
    method, x = settled(make()), batch()["view1"]
    upright, turned = (method._restored_in(t, x) for t in turns(0, 1))
    assert not torch.allclose(upright, turned)
    bare = settled(make(transformations=()))
    assert bare.attention is None
    assert torch.equal(*(bare._restored_in(t, x) for t in turns(0, 1)))


# PCRLv1-8, PCRLv1-9 -----------------------------------------------------------------------------------------------


def test_contrast_in_closed_form():
    method = make(queue_size=16384)
    basis = torch.eye(128)
    method.queue.features.copy_(basis[1].expand(16384, 128))
    # a lost negative moves it by 6e-5, the sum of so many in float32 by 2e-5
    assert method._contrast(basis[:1], basis[:1]).item() == pytest.approx(math.log(1 + 16384 * math.exp(-5)), abs=4e-5)
    assert method._contrast(basis[2:3], basis[3:4]).item() == pytest.approx(math.log(16385), abs=1e-5)


def test_queue_holds_the_last_keys_of_the_momentum_branch_and_never_those_of_the_batch():
    method = make(queue_size=8)
    keys = []
    for step in range(5):  # 3 does not divide 8
        data = batch(seed=step)
        before = method.queue.features.clone()
        terms = method.losses(data)
        with torch.no_grad():
            query, key = method._embed(data["view1"])[1], method._embed_momentum(data["view2"])[1]
        assert torch.equal(method.queue.features, before), "keys wait for the step"
        assert terms["contrast"].item() == pytest.approx(0.5 * info_nce(query, key, before).item(), abs=1e-5)
        keys.extend(zip(((3 * step + i) % 8 for i in range(3)), F.normalize(key, dim=1), strict=True))
        method.after_step()
    for place, key in keys[-8:]:
        torch.testing.assert_close(method.queue.features[place], key, atol=1e-5, rtol=0)
    assert not method.queue.features.requires_grad and method.queue.pointer == 15 % 8
    torch.testing.assert_close(method.queue.features.norm(dim=1), torch.ones(8))
    other = make(queue_size=8)
    other.load_state_dict(method.state_dict())
    assert other.queue.pointer == 15 % 8 and torch.equal(other.queue.features, method.queue.features)


def test_the_paper_queues_the_vectors_of_all_three_branches():
    method, data = make(queued=BRANCHES, momentum=1.0), batch()
    scripted(method, [0.3]).losses(data)
    with torch.no_grad():
        (o, q), (m, k) = method._embed(data["view1"]), method._embed_momentum(data["view2"])
        mixed = (0.3 * o[-1] + 0.7 * m[-1]).mean((2, 3, 4))
        expected = torch.cat([q, k, method.momentum_branch.network.projector(mixed)])
    method.after_step()
    torch.testing.assert_close(method.queue.features[:9], F.normalize(expected, dim=1), atol=1e-5, rtol=0)


def test_every_batch_of_an_accumulated_step_is_queued_once():
    method = make()
    for seed in range(2):
        method.losses(batch(seed=seed))
    method.after_step()
    assert method.queue.pointer == 6 and not method.queue.held
    method.after_step()
    assert method.queue.pointer == 6
    method.eval().losses(batch())
    assert not method.queue.held, "validation leaves no keys behind"


# PCRLv1-11 --------------------------------------------------------------------------------------------------------


# PCRLv1-12 --------------------------------------------------------------------------------------------------------


def default(dims):
    encoder = ConvEncoder() if dims == 3 else ResNetEncoder()
    return PCRLv1(RestorationUNet(encoder, bounded=dims == 3))


@pytest.mark.parametrize(("dims", "everything", "encoder"), [(3, 19_289_473, 7_027_776), (2, 14_544_051, 11_176_512)])
def test_parameter_counts_of_the_defaults(dims, everything, encoder):
    method = default(dims)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in method.named_children()}
    assert sum(p.numel() for p in method.step_parameters("losses")) == everything
    assert sum(p.numel() for p in method.encoder.parameters()) == encoder
    assert counts["projector"] == 82_176 and counts["attention"] == {3: 133_632, 2: 133_376}[dims]
    assert counts["momentum_branch"] == encoder + 82_176 and method.queue.features.shape == (16384, 128)


@pytest.mark.parametrize("dims", [2, 3])
def test_restorations_have_the_shape_of_the_image_and_are_bounded_in_3d_only(dims):
    method, data = make(dims=dims), batch(dims)
    restored = method.restore(data["view1"])["restored"]
    assert restored.shape == data["view1"].shape
    assert (restored.min() > 0 and restored.max() < 1) == (dims == 3)
    panels = method.panels(data)
    told = torch.tensor([[0.0] * dims + [1.0, 0.0, 0.0, 0.0]] * 3)
    features = method.encoder(data["view1"])
    upright = method.network.restore([*features[:-1], method.attention(features[-1], told)])
    assert torch.equal(panels["restored"], upright), "as it stands: no flip, no turn"
    assert list(panels) == ["input", "target", "restored", "target, told T", "restored, told T"]
    assert torch.equal(panels["target, told T"], torch.rot90(data["target1"].flip(2), 1, (2, 3)))
    assert list(make(dims=dims, transformations=()).panels(data)) == ["input", "target", "restored"]


@pytest.mark.parametrize(("transformations", "flip", "quarters"), [(["flip"], True, 0), (["rotate"], False, 1)])
def test_panels_tell_of_the_view_only_what_is_drawn_in_training(transformations, flip, quarters):
    method, data = settled(make(transformations=transformations)), batch()
    told = Orientation.same(3, (flip, False, False), quarters)
    panels = method.panels(data)
    assert torch.equal(panels["input"], data["view1"]) and torch.equal(panels["target"], data["target1"])
    assert torch.equal(panels["target, told T"], told.apply(data["target1"]))
    assert torch.equal(panels["restored, told T"], method._restored_in(told, data["view1"]))


def test_the_2d_decoder_starts_as_the_authors_has_it():
    """Kaiming-uniform by the inputs of each output, with the gain of a ReLU, and no biases."""
    for layer in (m for m in make(dims=2).decoder.modules() if isinstance(m, torch.nn.Conv2d)):
        bound = math.sqrt(6 / layer.weight[0].numel())
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias is None or not layer.bias.any()


# PCRLv1-13, PCRLv1-14 ---------------------------------------------------------------------------------------------


def test_dealing_the_batch_changes_nothing_on_one_device(monkeypatch):
    from monai_ssl.methods import pcrlv1

    told, data, order = turns(1, 2, 3), batch(), torch.tensor([2, 0, 1])
    plain = scripted(make(), [0.3], told).losses(data)
    monkeypatch.setattr(pcrlv1, "shuffle_batch", lambda x, generator: (x[order], order))
    monkeypatch.setattr(pcrlv1, "unshuffle_batch", lambda x, order: x[order.argsort()])
    dealt = scripted(make(), [0.3], told).losses(data)
    for name in plain:
        torch.testing.assert_close(dealt[name], plain[name], atol=1e-6, rtol=1e-5)


def test_synchronized_batch_norm_and_validation_need_no_dealing(monkeypatch):
    from monai_ssl.methods import pcrlv1

    def refuse(x, generator):
        raise AssertionError("dealt")

    monkeypatch.setattr(pcrlv1, "shuffle_batch", refuse)
    method, data = make(), batch()
    with pytest.raises(AssertionError, match="dealt"):
        method.losses(data)
    method.eval().losses(data)
    method = torch.nn.SyncBatchNorm.convert_sync_batchnorm(make())
    method.encoder.forward = lambda x: [torch.zeros(3, w, 2, 2, 2) for w in WIDTHS]
    method.momentum_branch.network.encoder.forward = method.encoder.forward
    assert len(method._embed_momentum(data["view2"])[0]) == 4


def test_encoder_goes_into_a_downstream_network_with_group_norm():
    method = make()
    network = SkipUNet(ConvEncoder(widths=WIDTHS), 2)
    network.encoder.load_state_dict(method.encoder.state_dict(), strict=True)
    batch_to_group_norm(network.encoder, 2)
    own = dict(method.encoder.named_parameters())
    assert all(torch.equal(p, own[n]) for n, p in network.encoder.named_parameters())
    assert not any("running" in name for name in network.encoder.state_dict())


# the reference preset -------------------------------------------------------------------------------------------


def test_reference_queues_keys_mixed_keys_and_mixes_of_keys_after_the_step(monkeypatch):
    method, data, order = scripted(make("reference"), [0.4, 0.8, 0.1]), batch(), torch.tensor([1, 2, 0])
    monkeypatch.setattr(torch, "randperm", lambda n: order)
    before, x = method.queue.features.clone(), data["view2"]
    keys, mixed_keys = (method._embed_momentum(v)[1] for v in (x, 0.6 * x + 0.4 * x[order]))
    method.losses(data)
    assert torch.equal(before, method.queue.features)
    method.after_step()
    expected = F.normalize(torch.cat([keys, mixed_keys, 0.6 * keys + 0.4 * keys[order]]), dim=1)
    torch.testing.assert_close(method.queue.features[:9], expected, atol=1e-5, rtol=0)
    assert method.queue.pointer == 9


# ablations, errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"restored": []}, {"contrast"}),
        ({"restored": [], "transformations": [], "rotation": True}, {"contrast", "rotation"}),
        (
            {"restored": ["online", "momentum"], "transformations": []},
            {"contrast", "restore_online", "restore_momentum"},
        ),
        ({"restored": ["online", "momentum"], "transformations": ["flip"]}, set(MOVES) - {"restore_hybrid"}),
        ({"restored": ["online", "momentum"]}, set(MOVES) - {"restore_hybrid"}),
        ({"transformations": [], "alpha": 0.5}, set(MOVES)),
        ({"attention": "outer"}, set(MOVES)),
    ],
)
def test_rows_of_tables_1_and_2(dims, options, terms):
    method = make(dims=dims, **options)
    out = method.losses(batch(dims))
    assert set(out) == terms and all(t.isfinite() for t in out.values())
    total(out).backward()
    unused = {n.split(".")[1] for n, p in method.named_parameters() if p.requires_grad and p.grad is None}
    assert bool(unused) == method.sparse_gradients == (options.get("restored") == [])


def test_rotnet_tells_the_turn_of_each_image(monkeypatch):
    method = settled(make(rotation=True, restored=[], transformations=[]))
    turns = torch.tensor([3, 0, 2])
    monkeypatch.setattr(Orientation, "draw", lambda *_, **__: Orientation(torch.zeros(3, 3, dtype=torch.bool), turns))
    x = batch()["view1"]
    turned = torch.stack([torch.rot90(image, int(k), (1, 2)) for image, k in zip(x, turns, strict=True)])
    logits = method.turn_classifier(method.encoder(turned)[-1].mean((2, 3, 4)))
    picked = logits.softmax(1)[range(3), turns].log()
    assert float(method.losses(batch())["rotation"]) == pytest.approx(-0.5 * float(picked.mean()), rel=1e-5)


def test_transformations_are_drawn_as_asked():
    x = torch.zeros(64, 1, 8, 8, 8)
    both, flips, none = (make(transformations=t)._draw_orientation(x) for t in (("flip", "rotate"), ("flip",), ()))
    assert both.flips.any() and both.turns.any() and flips.flips.any() and not flips.turns.any()
    assert not none.flips.any() and not none.turns.any()
    assert len({tuple(v) for v in both.vector().tolist()}) > 8, "one for each sample"


def test_shares_follow_the_beta_distribution():
    for alpha, deviation in ((1.0, 1 / 12), (0.5, 1 / 8)):
        method = make(alpha=alpha)
        shares = torch.tensor([method._draw_share() for _ in range(2000)])
        assert shares.mean() == pytest.approx(0.5, abs=0.04) and shares.var() == pytest.approx(deviation, rel=0.1)
    assert min(method._draw_folded_share() for _ in range(200)) >= 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queued": []}, "`queued` must name at least one branch"),
        ({"preset": "reference", "restored": ["online"]}, "`queued` and `rotation` belong to `preset` 'paper'"),
        ({"preset": "reference", "queued": ["online"]}, "`queued` and `rotation` belong to `preset` 'paper'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_images_that_cannot_be_turned_are_refused():
    data = {name: x[:, :, :, :8] for name, x in batch().items()}
    with pytest.raises(ValueError, match=r"\(16, 8, 8\) cannot be turned by 90 degrees"):
        for _ in range(20):
            make().losses(data)
    make(transformations=["flip"]).losses(data)


def test_overfits_one_batch_without_collapse():
    method, data = make(momentum=0.9, queue_size=24), batch(size=4)
    smooth = torch.nn.AvgPool3d(5, 1, 2)
    data = {name: (4 * smooth(x) - 1.5).clamp(0, 1) for name, x in data.items()}
    data |= {"view1": data["target1"] + 0.05, "view2": data["target2"] - 0.05}
    optimizer = torch.optim.Adam(method.step_parameters("losses"), 3e-3)
    history = []
    for _ in range(50):
        optimizer.zero_grad()
        terms = method.losses(data)
        total(terms).backward()
        optimizer.step()
        method.after_step()
        history.append({k: v.item() for k, v in terms.items()})
    for name in ("restore_online", "restore_momentum", "restore_hybrid"):
        first, last = (sum(h[name] for h in history[part]) for part in (slice(0, 5), slice(-5, None)))
        assert last < 0.7 * first, name
    with torch.no_grad():
        q = F.normalize(method._embed(data["view1"])[1], dim=1)
    assert (q @ q.T).min() < 0.95
    again = copy.deepcopy(method)
    torch.manual_seed(1)
    one = method.losses(data)
    torch.manual_seed(1)
    assert all(torch.equal(one[k], v) for k, v in again.losses(data).items())
