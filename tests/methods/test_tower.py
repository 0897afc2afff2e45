"""TOWER: TOWER-7, TOWER-10 to TOWER-12 of docs/properties.md."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_ssl.losses import nt_xent
from monai_ssl.methods import TOWER
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet, SkipUNet
from monai_ssl.transforms import BatchViews, RandBezierd, RandBlockMaskd, Snapshotd

SMALL = {"pretrain": {}, "pretrain_2d": {}}
MOVES = {
    "contrast": ("network.encoder.", "projector."),
    "restoration": ("network.encoder.", "network.decoder.", "network.head."),
}


def make(dims=3, **options):
    torch.manual_seed(0)
    encoder = ConvEncoder(3, 1, [2, 4, 8]) if dims == 3 else ResNetEncoder(2, 3, 4, depth=50)
    return TOWER(RestorationUNet(encoder), **options)


def batch(dims=3, count=4):
    x = torch.rand(count, *((1, 16, 16, 8) if dims == 3 else (3, 64, 64)), generator=torch.Generator().manual_seed(1))
    views = BatchViews(
        [
            Snapshotd("view", "target"),
            RandBezierd("view", 1.0, "tower"),
            RandBlockMaskd("view", grid=4, visible_key="visible"),
        ]
    )
    return views.set_random_state(0)({"view": x})


class Vectors(nn.Module):
    """Stands for the encoder: an image is its own map of features, so that a test chooses the vectors."""

    spatial_dims, channels, strides, in_channels, expansion = 2, (6,), (1,), 6, 1

    def forward(self, x):
        return [x]


def contrast_of(clean, transformed, **options):
    """L_Con of vectors (B, 6) that reach the loss as they are."""
    network = nn.Module()
    network.encoder, network.decoder, network.spatial_dims = Vectors(), nn.Identity(), 3
    method = TOWER(network, ["contrast"], **options)
    method.projector = nn.Identity()
    return method.losses({"target": clean[..., None, None], "view": transformed[..., None, None]})["contrast"]


def equation_4(clean, transformed, temperature, symmetric):
    """The loops of eq. 4, over clean anchors or over all."""
    z = np.concatenate([clean, transformed])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    n = len(clean)
    total = 0.0
    for i in range(2 * n if symmetric else n):
        positive = (i + n) % (2 * n)
        negatives = [k for k in range(2 * n) if k not in (i, positive)]
        assert len(negatives) == 2 * n - 2
        e = {k: math.exp(z[i] @ z[k] / temperature) for k in (positive, *negatives)}
        total -= math.log(e[positive] / (e[positive] + sum(e[k] for k in negatives)))
    return total / (2 * n if symmetric else n)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_contrast_is_equation_4(symmetric, temperature):
    clean, transformed = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))
    got = contrast_of(clean, transformed, symmetric=symmetric, temperature=temperature)
    expected = equation_4(clean.double().numpy(), transformed.double().numpy(), temperature, symmetric)
    assert got.item() == pytest.approx(expected, rel=1e-4)


def test_the_vector_is_of_the_averaged_map():
    method = make()
    features = method.encoder(batch()["view"])
    torch.testing.assert_close(method._embed([features[-1].flip(2, 3, 4)]), method._embed(features))
    torch.testing.assert_close(method._embed(features), method.projector(features[-1].flatten(2).mean(2)))
    assert method._embed(features).shape == (4, 128)


@pytest.mark.parametrize("dims", [2, 3])
def test_terms_are_those_of_the_paper(dims):
    method, data = make(dims), batch(dims)
    method.eval()
    terms = method.losses(data)
    z, z2 = (method.projector(method.encoder.pooled(data[key])) for key in ("target", "view"))
    torch.testing.assert_close(terms["contrast"], nt_xent(z, z2, 0.1))
    restored = method.network(data["view"])
    assert restored.shape == data["target"].shape
    torch.testing.assert_close(terms["restoration"], ((restored - data["target"]) ** 2).mean())
    assert set(terms) == {"contrast", "restoration"}


def test_clean_and_transformed_images_pass_the_encoder_apart():
    """Two passes, each with its own batch statistics, and the decoder sees the transformed one only."""
    method, data = make(), batch()
    seen, decoded = [], []
    method.encoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    method.decoder.register_forward_hook(lambda module, inputs, output: decoded.append(inputs[0]))
    method.losses(data)
    assert len(seen) == 2 and torch.equal(seen[0], data["view"]) and torch.equal(seen[1], data["target"])
    assert len(decoded) == 1 and len(decoded[0][-1]) == 4


@pytest.mark.parametrize("mask", ["rays", "stripes", "blocks"])
@pytest.mark.parametrize(("config", "shape"), [("pretrain", (1, 24, 20, 16)), ("pretrain_2d", (3, 64, 56))])
def test_the_view_is_the_mapped_image_under_a_mask_that_looks_at_the_clean_one(config, shape, mask):
    outs = {}
    for prob in (0.0, 1.0):
        parser = ConfigParser()
        parser.read_config(str(Path(__file__).parents[2] / f"bundles/tower/configs/{config}.json"))
        changed = {"mask": mask, "masks#rays#num_rays": 3, "nonlinear#prob": prob, "nonlinear#params_key": "curve"}
        # the identity or, in half of the samples, its reverse
        changed |= {"roi_size": list(shape[1:]), "nonlinear#curves": [[[0, 0], [1, 1]]], "masks#blocks#grid": 8}
        for key, value in changed.items():
            parser[key] = value
        x = torch.rand(8, *shape, generator=torch.Generator().manual_seed(0))
        outs[prob] = parser.get_parsed_content("views").set_random_state(0)({"view": x})
    clean, seen = outs[0.0]["target"], outs[0.0]["visible"]
    assert torch.equal(clean, outs[1.0]["target"]) and torch.equal(seen, outs[1.0]["visible"])
    assert 0 < seen.mean() < 1 and torch.equal(outs[0.0]["view"], clean * seen)
    reverse = outs[1.0]["curve"]["decreasing"]
    assert reverse.any() and not reverse.all()
    mapped = torch.where(reverse.reshape(-1, *[1] * len(shape)), 1 - clean, clean)
    torch.testing.assert_close(outs[1.0]["view"], mapped * seen, atol=1e-3, rtol=0)


def test_l1():
    method, data = make(restoration="l1"), batch()
    method.eval()
    expected = (method.network(data["view"]) - data["target"]).abs().mean()
    torch.testing.assert_close(method.losses(data)["restoration"], expected)


def test_only_what_is_masked_is_restored():
    method, data = make(2, masked_only=True), batch(2)
    method.eval()
    hidden = (data["visible"] == 0).expand_as(data["target"])
    error = (method.network(data["view"]) - data["target"]) ** 2
    torch.testing.assert_close(method.losses(data)["restoration"], error[hidden].mean())
    nothing = method.losses({**data, "visible": torch.ones_like(data["visible"])})["restoration"]
    assert nothing == 0
    with pytest.raises(KeyError, match=r"`masked_only` needs to know what the mask hides, .* `visible_key: visible`"):
        method.losses({k: v for k, v in data.items() if k != "visible"})


@pytest.mark.parametrize(
    ("tasks", "decoder", "backbone"), [(["contrast"], False, "encoder"), (["restoration"], True, "network")]
)
def test_rows_of_table_3(tasks, decoder, backbone):
    method, data = make(tasks=tasks), batch()
    terms = method.losses(data)
    assert list(terms) == tasks
    terms[tasks[0]].backward()
    grads = {n: p.grad for n, p in method.named_parameters()}
    assert all(g is not None for n, g in grads.items() if n.startswith("network.encoder"))
    assert all(
        (g is not None) == decoder for n, g in grads.items() if n.startswith(("network.decoder", "network.head"))
    )
    assert (method.decoder is not None) == decoder and method.sparse_gradients != decoder
    assert method.backbone is (method.network if backbone == "network" else method.encoder)
    assert ("restored" in method.panels(data)) == decoder
    if not decoder:
        with pytest.raises(ValueError, match="TOWER without `restoration` among its `tasks` restores no images"):
            method.restore(data["view"])
    else:
        assert method.losses({k: v[:1] for k, v in data.items()})["restoration"].isfinite()


def test_parameters_of_the_paper():
    """U-Net on a ResNet-50 with three channels in and out, and an MLP 2048-2048-128."""
    with torch.device("meta"):
        method = TOWER(RestorationUNet(ResNetEncoder(2, 3, depth=50)))
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(method.network) == 32_521_395
    assert count(method.projector) == 2048 * 2048 + 2048 + 2048 * 128 + 128
    assert [type(layer).__name__ for layer in method.projector] == ["Linear", "ReLU", "Linear"]


def test_initialization():
    """Xavier for the projector, Kaiming for the 2-D decoder, no bias."""
    method = make(2)
    linear, conv = method.projector[0], method.decoder.blocks[0].convs
    bound = math.sqrt(6 / (linear.in_features + linear.out_features))
    assert bound * 0.95 < linear.weight.abs().max() <= bound and not linear.bias.any()
    first = next(m for m in conv.modules() if isinstance(m, nn.Conv2d))
    bound = math.sqrt(6 / (first.in_channels * 9))
    assert bound * 0.95 < first.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"tasks": ["contrast", "rotation"]},
            r"`tasks` must name at least one of contrast, restoration, got \['contrast",
        ),
        ({"tasks": []}, "`tasks` must name at least one"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize("dims", [2, 3])
def test_encoder_and_decoder_move_into_a_segmentation_network(dims):
    """All but the output: the head that restores stays behind, the head that segments starts anew."""
    network = make(dims).network
    fresh = ConvEncoder(3, 1, [2, 4, 8]) if dims == 3 else ResNetEncoder(2, 3, 4, depth=50)
    target = SkipUNet(fresh, 2)
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    report = target.load_state_dict(kept, strict=False)
    assert sorted(report.missing_keys) == ["head.bias", "head.weight"] and not report.unexpected_keys
    alone = fresh.load_state_dict(network.encoder.state_dict())
    assert not alone.missing_keys and not alone.unexpected_keys


def test_contrast_learns_from_both_images():
    method, data = make(tasks=["contrast"], symmetric=False), batch()
    images = [data[key].requires_grad_() for key in ("target", "view")]
    grads = torch.autograd.grad(method.losses(data)["contrast"], images)
    assert all(g.abs().sum() > 0 for g in grads)
