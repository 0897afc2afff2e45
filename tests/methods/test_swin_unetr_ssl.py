"""Swin UNETR's three tasks: chance and perfect answers, heads that pool, terms that reach what they should."""

import math

import pytest
import torch

from monai_ssl.methods import SwinUNETRSSL
from monai_ssl.networks import ConvEncoder, RestorationUNet
from monai_ssl.transforms import BatchViews, RandMixedCutoutd, RandRotationTaskd, Snapshotd

SMALL: dict[str, dict] = {
    "pretrain": {"depths": [1, 1, 1, 1]},
    "pretrain_2d": {"widths": [2, 4, 8, 16], "depths": [1, 1, 1, 1]},
}
MOVES = {
    "restoration": ("network.encoder.", "network.decoder.", "network.head."),
    "rotation": ("network.encoder.", "rotation_head."),
    "contrast": ("network.encoder.", "contrast_head."),
}


def make(dims=2, **options):
    torch.manual_seed(0)
    network = RestorationUNet(ConvEncoder(dims, widths=(4, 8)), skips=False, bounded=False)
    return SwinUNETRSSL(network, **{"dim": 6} | options).eval()


def batch(shape=(3, 1, 16, 16), labels=(0, 1, 2, 3), seed=0):
    views = ("view1", "view2")
    made = BatchViews(
        [
            Snapshotd("view1", "view2"),
            *(RandRotationTaskd(view, labels, name=f"label{view[-1]}") for view in views),
            Snapshotd(views, ("target1", "target2")),
            *(RandMixedCutoutd(view) for view in views),
        ]
    )
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    return made.set_random_state(seed)({"view1": x})


def test_both_views_are_one_window_turned_and_damaged():
    data = batch((8, 1, 16, 16))
    for i in (1, 2):
        back = torch.stack(
            [t.rot90(-int(k), (1, 2)) for t, k in zip(data[f"target{i}"], data[f"label{i}"], strict=True)]
        )
        share = (data[f"view{i}"] != data[f"target{i}"]).float().mean((1, 2, 3))
        assert 0 < share.mean() < 0.6
        data[f"back{i}"] = back
    assert torch.equal(data["back1"], data["back2"]) and not torch.equal(data["label1"], data["label2"])


def test_terms_by_loops_in_double_precision():
    method, data = (
        make(weights=[2, 3, 5]).double(),
        {k: v.double() if v.is_floating_point() else v for k, v in batch().items()},
    )
    pooled = [method.encoder(data[f"view{i}"])[-1].mean((2, 3)) for i in (1, 2)]
    errors = [(method.network(data[f"view{i}"]) - data[f"target{i}"]).abs().mean() for i in (1, 2)]
    answers = [
        -torch.log_softmax(method.rotation_head(p), 1)[b, data[f"label{i}"][b]]
        for i, p in enumerate(pooled, 1)
        for b in range(3)
    ]
    z = [v / v.norm() for p in pooled for v in method.contrast_head(p).detach()]
    contrast = 0.0
    for i in range(6):
        weights = [math.exp(float(z[i] @ z[k]) / 0.5) for k in range(6) if k != i]
        contrast -= math.log(math.exp(float(z[i] @ z[(i + 3) % 6]) / 0.5) / sum(weights)) / 6
    expected = {
        "restoration": 2 * sum(errors).item() / 2,
        "rotation": 3 * sum(answers).item() / 6,
        "contrast": 5 * contrast,
    }
    for name, value in method.losses(data).items():
        assert float(value.detach()) == pytest.approx(expected[name], rel=1e-5), name


def test_what_knowing_nothing_costs():
    method, data = make(), batch((4, 1, 16, 16))
    for head in (method.rotation_head, method.contrast_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.ones_(head.bias)
    terms = method.losses(data)
    assert terms["rotation"].item() == pytest.approx(math.log(4), rel=1e-6)
    assert terms["contrast"].item() == pytest.approx(math.log(7), rel=1e-6)
    method.network.forward = lambda view: view
    assert method.metrics(data)["undone"] == 0
    method.network.forward = lambda view: data["target1"]
    assert method.metrics(data)["undone"] == 1


def test_heads_see_all_positions_alike():
    """The reference reads one corner for the rotation and its neighbor for the contrast."""
    method, data = make(3), batch((2, 1, 16, 16, 16))
    before = method.losses(data)
    maps = type(method.encoder).forward
    order = torch.randperm(8 * 8 * 8)

    def shuffled(encoder, x):
        *fine, last = maps(encoder, x)
        return [*fine, last.flatten(2)[..., order].reshape(last.shape)]

    method.encoder.forward = lambda x: shuffled(method.encoder, x)
    after = method.losses(data)
    for name in ("rotation", "contrast"):
        assert after[name].item() == pytest.approx(before[name].item(), rel=1e-5)


def test_rotations_in_another_plane_are_numbered_in_their_order():
    method = make(3, rotations=[0, 6, 5, 4])
    data = batch((4, 1, 8, 16, 16), labels=[0, 6, 5, 4])
    assert method.rotation_head.out_features == 4
    assert torch.equal(method.possible[method._answers(data["label1"])], data["label1"])
    assert method.losses(data)["rotation"].isfinite() and method.panels(data)["turned back"].shape == (4, 1, 8, 16, 16)


@pytest.mark.parametrize("rotations", [[0], [0, 0, 1], [0, 4]])
def test_rotations_that_do_not_exist_are_refused(rotations):
    with pytest.raises(ValueError, match="`rotations` must be two or more of the labels 0 to 3"):
        make(rotations=rotations)
