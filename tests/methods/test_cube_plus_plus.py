"""Rubik's cube++: C++-5 of docs/properties.md, and the objective."""

import pytest
import torch
import torch.nn.functional as F
from spy import Spy

from monai_ssl.methods import CubePlusPlus
from monai_ssl.networks import ConvEncoder, Discriminator, ResNetEncoder, RestorationUNet
from monai_ssl.transfer import ModelCard, export_weights, load_weights
from monai_ssl.transforms import BatchViews, RandCubeTurnsd, Snapshotd

SMALL = {config: {"network_def#discriminator#width": 4} for config in ("pretrain", "pretrain_2d")}
MOVES = {
    "restoration": ("network.encoder.", "network.decoder.", "network.head."),
    "adversarial": ("network.encoder.", "network.decoder.", "network.head."),
    "discriminator": ("discriminator.",),
}


def make(dims=3, adversary=True, **options) -> CubePlusPlus:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(4, 8, 16)) if dims == 3 else ResNetEncoder(width=4)
    judge = Discriminator(dims, 2 * encoder.in_channels, width=4) if adversary else None
    return CubePlusPlus(RestorationUNet(encoder), judge, **options)


def batch(dims=3, size=2, seed=0):
    shape = (size, 1, 16, 16, 16) if dims == 3 else (size, 3, 64, 64)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    turn = RandCubeTurnsd("view", (4,) * dims)
    return BatchViews([Snapshotd("view", "target"), turn]).set_random_state(seed)({"view": image})


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("weights", [(10.0, 1.0), (3.0, 0.5)])
def test_objective_in_closed_form(dims, weights):
    method, data = make(dims, weights=weights), batch(dims)
    method.discriminator = Spy(0.3, 0.8, 0.3)
    terms = method.losses(data)
    restored = method.discriminator.seen[0][:, : data["view"].shape[1]]
    assert restored.shape == data["target"].shape and restored.min() > 0 and restored.max() < 1
    error = (restored - data["target"]).abs().double().mean()
    assert terms["restoration"].item() == pytest.approx(weights[0] * error.item(), rel=1e-5)
    assert terms["adversarial"].item() == pytest.approx(weights[1] * 0.7**2, rel=1e-5)
    judged = method.discriminator_losses(data)
    assert judged["discriminator"].item() == pytest.approx(0.5 * (0.2**2 + 0.3**2), rel=1e-5)
    assert set(terms) | set(judged) == set(MOVES)


def test_the_discriminator_sees_each_image_with_the_disarranged_one():
    """C++-5: (restored, view), then (target, view) and (restored.detach, view), the restoration of before the step."""
    method, data = make(), batch()
    method.discriminator = Spy(1.0, 1.0, 0.0)
    method.losses(data)
    with torch.no_grad():
        for p in method.network.parameters():
            p.add_(1.0)  # the optimizer's step comes in between
    assert method.discriminator_losses(data)["discriminator"] == 0
    generated, real, fake = method.discriminator.seen
    assert torch.equal(real, torch.cat([data["target"], data["view"]], dim=1))
    assert torch.equal(fake, generated) and torch.equal(fake[:, 1:], data["view"])
    assert generated.requires_grad and not fake.requires_grad and not real.requires_grad


def test_restoration_alone():
    """PCRLv1's comparison has no discriminator."""
    method, data = make(adversary=False), batch()
    assert method.steps == ("losses",) and list(method.losses(data)) == ["restoration"]
    assert len(list(method.step_parameters("losses"))) == len(list(method.network.parameters()))
    with pytest.raises(RuntimeError, match="CubePlusPlus' `discriminator_losses` follow `losses` of the same batch"):
        method.discriminator_losses(data)


def test_validation_leaves_the_adversary_out_and_a_step_forgets_the_restoration():
    method, data = make(), batch()
    method.eval()
    assert list(method.losses(data)) == ["restoration"]
    assert method.discriminator_losses(data)["discriminator"].isfinite()
    method.after_step()
    with pytest.raises(RuntimeError, match="follow `losses` of the same batch"):
        method.discriminator_losses(data)


@pytest.mark.slow
def test_turned_volumes_can_be_learned():
    """X-7: two volumes are restored far better than by leaving them as they are."""
    method = make()
    coarse = torch.rand(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    image = F.interpolate(coarse, (16, 16, 16), mode="trilinear", align_corners=True)
    views = BatchViews([Snapshotd("view", "target"), RandCubeTurnsd("view", (2, 2, 2), turned=1)]).set_random_state(0)
    data = views({"view": image})
    optimizers = {s: torch.optim.Adam(method.parameter_groups(s), 5e-3, betas=(0.5, 0.999)) for s in method.steps}
    for _ in range(60):
        for step, optimizer in optimizers.items():
            optimizer.zero_grad()
            torch.stack(list(method(data, step).values())).sum().backward()
            optimizer.step()
        method.after_step()
    with torch.no_grad():
        error = F.l1_loss(method.network(data["view"]), data["target"])
    assert error < 0.5 * F.l1_loss(data["view"], data["target"])


def test_parts_panels_and_export(tmp_path):
    """X-5: the exported encoder and decoder load completely; the discriminator is not among them."""
    method, data = make().eval(), batch()
    assert method.backbone is method.network and method.decoder is method.network.decoder
    panels = method.panels(data)
    assert list(panels) == ["input", "target", "restored"] and not panels["restored"].requires_grad
    assert torch.equal(panels["input"], data["view"]) and torch.equal(panels["target"], data["target"])
    assert torch.equal(panels["restored"], method.network(data["view"]))
    card = ModelCard("cube_plus_plus", "layer", {"_target_": "monai_ssl.networks.ConvEncoder"}, "CT", epochs=1)
    path = export_weights(method, tmp_path / "unet.safetensors", card, ("encoder", "decoder"))
    for part in ("encoder", "decoder"):
        assert load_weights(RestorationUNet(ConvEncoder(widths=(4, 8, 16))), path, part).share == 1.0
