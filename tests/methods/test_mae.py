"""MAE: masks, no leak, the loss on masked voxels only, and its bundle."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_ssl.methods import MAE
from monai_ssl.networks import MaskFill, ResidualEncoder, RestorationUNet
from monai_ssl.networks.mask_fill import FILLS

BUNDLE = Path(__file__).parents[2] / "bundles/mae/configs"
SMALL: dict[str, dict] = {
    "pretrain": {"depths": [1, 1, 1, 1], "block": 4},
    "pretrain_2d": {"widths": [2, 4, 8, 16], "depths": [1, 1, 1, 1]},
}
MOVES = {"restoration": ("network.encoder.", "network.decoder.", "network.head.")}


def make(dims=3, channels=1, **options):
    torch.manual_seed(0)
    encoder = ResidualEncoder(dims, channels, widths=(4, 8, 16), depths=(1, 1, 1))
    return MAE(RestorationUNet(encoder, bounded=False), **options)


def batch(dims=3, channels=1):
    g = torch.Generator().manual_seed(0)
    shape = (2, channels, 16, 16, 8)[: dims + 2]
    x = torch.randn(shape, generator=g)
    return {"view": x, "target": x, "visible": torch.zeros(2, 1, *shape[2:]).bernoulli(0.25, generator=g)}


@pytest.mark.parametrize("dims", [2, 3])
def test_loss_is_the_mean_square_of_the_error_where_masked(dims):
    method, data = make(dims, 2), batch(dims, 2)
    restored = method.network(torch.where(data["visible"] > 0, data["view"], torch.tensor(0.0)))
    errors = [(r - t)[:, v[0] == 0].double() for r, t, v in zip(restored, data["target"], data["visible"], strict=True)]
    expected = sum(e.square().mean() for e in errors) / 2
    assert method.losses(data)["restoration"].item() == pytest.approx(expected.item(), rel=1e-5)
    everywhere = make(dims, 2, masked_only=False).losses(data)["restoration"]
    assert everywhere.item() == pytest.approx((restored - data["target"]).square().mean().item(), rel=1e-5)


def test_a_restoration_by_zero_costs_the_mean_square_of_what_is_masked():
    method, data = make(), batch()
    method.network.head[0].weight.data.zero_()
    method.network.head[0].bias.data.zero_()
    masked = [t[:, v[0] == 0].square().mean() for t, v in zip(data["target"], data["visible"], strict=True)]
    assert method.losses(data)["restoration"].item() == pytest.approx(sum(masked).item() / 2, rel=1e-5)


@pytest.mark.parametrize("mask_value", FILLS)
def test_what_is_masked_never_reaches_the_network(mask_value):
    """Whatever stands there, not-a-number included."""
    method, data = make(mask_value=mask_value), batch()
    first = restored(method, data)
    for other in (7.0, float("nan"), float("inf")):
        changed = torch.where(data["visible"] > 0, data["view"], torch.tensor(other))
        assert torch.equal(restored(method, {**data, "view": changed}), first)
    changed = torch.where(data["visible"] > 0, data["view"] + 1, data["view"])
    assert not torch.equal(restored(method, {**data, "view": changed}), first)


def restored(method, data):
    torch.manual_seed(1)
    return method.panels(data)["restored"]


def test_what_stands_in_place_of_masked_voxels():
    x, visible = torch.randn(2, 3, 40, 30) * 2 + 1, torch.zeros(2, 1, 40, 30).bernoulli(0.5)
    for value in FILLS:
        fill = MaskFill(value, 3)
        filled = fill(x, visible)
        assert torch.equal(filled[visible.expand_as(x) > 0], x[visible.expand_as(x) > 0])
        for sample, channel in ((0, 0), (1, 2)):
            hidden = visible[sample, 0] == 0
            seen, put = x[sample, channel][~hidden], filled[sample, channel][hidden]
            means = {"mean": seen.mean(), "noise": seen.mean()}
            spread = seen.std() if value == "noise" else torch.tensor(0.0)
            assert put.mean().item() == pytest.approx(float(means.get(value, 0)), abs=0.2 if value == "noise" else 1e-5)
            assert put.std().item() == pytest.approx(spread.item(), abs=0.3 if value == "noise" else 1e-5)
    with pytest.raises(ValueError, match="`mask_value` must be"):
        MaskFill("black", 1)


def test_a_learned_value_is_trained_through_masked_voxels():
    method, data = make(mask_value="learned"), batch()
    method.losses(data)["restoration"].backward()
    assert method.fill.token.grad.abs() > 0
    method.zero_grad()
    method.losses({**data, "visible": torch.ones_like(data["visible"])})["restoration"].backward()
    assert method.fill.token.grad == 0


def test_pictures_show_the_restored_blocks_among_the_visible_ones():
    method, data = make(), batch()
    sheet = method.panels(data)
    assert list(sheet) == ["input", "target", "restored", "merged"]
    assert torch.equal(sheet["merged"], data["visible"] * data["target"] + (1 - data["visible"]) * sheet["restored"])
    assert method.metrics(data)["explained"] < 1


def test_the_bundle_is_that_of_the_benchmark():
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "pretrain.json"))
    with torch.device("meta"):
        encoder = parser.get_parsed_content("encoder")
    assert sum(p.numel() for p in encoder.parameters()) == 90_296_576
    assert parser["roi_size"] == [160] * 3 and parser["train#trainer#clip_norm"] == 12
    cpu = ConfigParser()
    cpu.read_config([str(BUNDLE / "pretrain.json"), str(BUNDLE / "cpu.json")])
    assert cpu["network_def"] == parser["network_def"] and cpu["roi_size"] == [48] * 3
