"""Models Genesis: MG-1, MG-4 to MG-6 of docs/properties.md."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_ssl.methods import ModelsGenesis
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet

SMALL: dict[str, dict] = {"pretrain": {}, "pretrain_2d": {}}
MOVES = {"restoration": ("network.encoder.", "network.decoder.", "network.head.")}
CONFIGS = Path(__file__).parents[2] / "bundles/models_genesis/configs"


def make(dims=3, seed=0, skips=True) -> ModelsGenesis:
    torch.manual_seed(seed)
    encoder = ConvEncoder(widths=(4, 8, 16, 32)) if dims == 3 else ResNetEncoder(in_channels=1, width=4)
    return ModelsGenesis(RestorationUNet(encoder, skips=skips))


def batch(dims=3, size=2, seed=0):
    shape = (size, 1, 16, 16, 8) if dims == 3 else (size, 1, 64, 32)
    g = torch.Generator().manual_seed(seed)
    return {"view": torch.rand(shape, generator=g), "target": torch.rand(shape, generator=g)}


def views(config):
    """The transforms of the bundle, each of which tells what it did."""
    parser = ConfigParser(json.loads((CONFIGS / f"{config}.json").read_text()))
    made = parser.get_parsed_content("views")
    for transform in made.transforms:
        if hasattr(transform, "params_key"):
            transform.params_key = type(transform).__name__
    return made.set_random_state(0)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("skips", [True, False])
def test_loss_is_the_mean_squared_error_of_the_restored_view(dims, skips):
    method, data = make(dims, skips=skips), batch(dims)
    method.eval()
    terms = method.losses(data)
    restored = method.network(data["view"])
    assert restored.shape == data["target"].shape and restored.min() > 0 and restored.max() < 1
    assert set(terms) == {"restoration"}
    expected = (restored - data["target"]).double().square().sum() / restored.numel()
    assert terms["restoration"].item() == pytest.approx(expected.item(), rel=1e-6)
    perfect = method.losses({"view": data["view"], "target": restored.detach()})
    assert perfect["restoration"] == 0


def test_sizes_of_the_paper():
    method = ModelsGenesis(RestorationUNet(ConvEncoder()))
    assert sum(p.numel() for p in method.parameters()) == 19_073_665
    assert sum(p.numel() for p in method.encoder.parameters()) == 7_027_776


def test_two_cubes_can_be_learned():
    method, data = make(), batch()
    data["target"] = torch.nn.functional.avg_pool3d(data["view"], 3, 1, 1)
    optimizer = torch.optim.SGD(method.parameters(), 0.5, momentum=0.9)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = method.losses(data)["restoration"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_backbone_restoration_and_panels():
    method, data = make(), batch()
    assert method.backbone is method.network and method.decoder is method.network.decoder
    assert method.representation(data["view"]).shape == (2, 32)
    method.eval()
    sheet = method.panels(data)
    assert list(sheet) == ["input", "target", "restored"]
    assert torch.equal(sheet["input"], data["view"]) and torch.equal(sheet["target"], data["target"])
    assert torch.equal(sheet["restored"], method.restore(data["view"])["restored"])
    assert not sheet["restored"].requires_grad


# the views of the bundle ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config, shape", [("pretrain", (1, 16, 15, 14)), ("pretrain_2d", (3, 16, 15))])
def test_how_often_each_transformation_is_applied(config, shape):
    """Shuffling 0.5, curve 0.9, in-painting 0.18, out-painting 0.72; about 0.5 % stay as they are."""
    x = torch.rand(3000, *shape, generator=torch.Generator().manual_seed(0))
    made = views(config)
    made.transforms[2].num_windows = 5  # faster; whether it is applied does not depend on it
    out = made({"view": x})
    shuffled, bent, painted = (out[name]["applied"] for name in ("RandLocalShufflingd", "RandBezierd", "RandPaintingd"))
    inward = out["RandPaintingd"]["inward"] & painted
    shares = torch.stack([c.float().mean() for c in (shuffled, bent, inward, painted & ~inward)])
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.9, 0.18, 0.72]), atol=0.03, rtol=0)
    untouched = ~(shuffled | bent | painted)
    assert 0 < untouched.sum() < 40
    assert torch.equal(out["view"][untouched], out["target"][untouched])
    assert out["view"].min() >= 0 and out["view"].max() <= 1


# sides of 20 voxels and more: shuffled windows of a single voxel would change nothing
@pytest.mark.parametrize("config, shape", [("pretrain", (1, 24, 22, 20)), ("pretrain_2d", (3, 32, 30))])
def test_target_is_the_flipped_image_and_nothing_else(config, shape):
    x = torch.rand(60, *shape, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    out = views(config)({"view": x})
    axes = range(len(shape) - 1)
    flips = out["RandFlipChaind"]["flip"]
    back = [t.flip([a + 1 for a in axes if f[a]]) for t, f in zip(out["target"], flips, strict=True)]
    assert torch.equal(torch.stack(back), before) and torch.equal(x, before)
    assert flips.any(0).all(), "an axis is never flipped"
    plain = views(config)
    for transform in plain.transforms[2:]:
        transform.prob = 0.0
    out = plain({"view": x})
    assert torch.equal(out["view"], out["target"]) and not torch.equal(out["view"], x)


def test_order_of_the_paper():
    names = [type(t).__name__ for t in views("pretrain").transforms]
    assert names == ["RandFlipChaind", "Snapshotd", "RandLocalShufflingd", "RandBezierd", "RandPaintingd"]
    assert names == [type(t).__name__ for t in views("pretrain_2d").transforms]
