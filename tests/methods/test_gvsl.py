"""GVSL: equal scans cost nothing, warps go where they say, and a known shift is found."""

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import GVSL
from monai_ssl.methods.gvsl import partners
from monai_ssl.networks import ConvEncoder, RestorationUNet
from monai_ssl.networks.registration import affine_map, roughness, warp

OWN = {"depths": [1, 1, 1, 1], "window": 5}
SMALL = {"pretrain": OWN, "pretrain_2d": {**OWN, "widths": [2, 4, 8, 16], "roi_size": [32, 32]}}
MOVES = {
    "similarity": ("network.encoder.", "network.decoder.", "affine_head.", "flow_head."),
    "smoothness": ("network.encoder.", "network.decoder.", "affine_head.", "flow_head."),
    "restoration": ("network.",),
}


def make(dims=2, **options):
    torch.manual_seed(0)
    return GVSL(RestorationUNet(ConvEncoder(dims, widths=(4, 8))), **{"window": 5} | options)


def smooth(*shape, seed=0):
    """Random images without fine detail."""
    g = torch.Generator().manual_seed(seed)
    coarse = torch.rand(*shape[:2], *[n // 4 for n in shape[2:]], generator=g)
    return F.interpolate(coarse, size=shape[2:], mode="trilinear" if len(shape) == 5 else "bilinear")


def by_loops(x, y, window):
    """1 minus the mean squared correlation of windows that lie inside the image (1, 1, H, W)."""
    found, half = [], window // 2
    for i in range(half, x.shape[2] - half):
        for j in range(half, x.shape[3] - half):
            a, b = (v[0, 0, i - half : i + half + 1, j - half : j + half + 1].double() for v in (x, y))
            a, b = a - a.mean(), b - b.mean()
            found.append(float((a * b).sum() ** 2 / ((a * a).sum() * (b * b).sum())))
    return 1 - sum(found) / len(found)


def test_equal_scans_cost_nothing_even_where_they_are_flat():
    method = make()
    x = smooth(1, 1, 16, 24).repeat(2, 1, 1, 1)
    x[..., :12] = 0.3
    terms = make().losses({"view": x, "target": x})
    assert terms["similarity"].item() == pytest.approx(0, abs=1e-3) and terms["smoothness"] < 1e-8
    assert method.dissimilarity(x, x).item() == pytest.approx(0, abs=1e-4)


def test_similarity_is_the_local_correlation_whatever_scale_and_shift_of_intensities():
    method, x, y = make(), smooth(1, 1, 24, 20), smooth(1, 1, 24, 20, seed=1)
    whole = method.correlation
    inside = 1 - by_loops(x, y, 5)
    whole.reduction = "none"
    assert -whole(y, x)[0, 0, 2:-2, 2:-2].mean().item() == pytest.approx(inside, rel=1e-3)
    far = -whole(0.3 * y + 0.5, x)[0, 0, 2:-2, 2:-2].mean().item()
    assert far == pytest.approx(inside, rel=2e-2)


@pytest.mark.parametrize("dims", [2, 3])
def test_zeros_are_the_identity_and_turns_keep_distances_in_voxels(dims):
    shape = [12, 20, 16][:dims]
    x = smooth(2, 1, *shape)
    zero = torch.zeros(2, dims * (dims + 1))
    torch.testing.assert_close(warp(x, affine_map(zero, dims), torch.zeros(2, dims, *shape)), x)
    turned = torch.zeros(2, dims * (dims + 1))
    turned[:, : dims * (dims - 1) // 2] = torch.randn(2, dims * (dims - 1) // 2)
    matrix = affine_map(turned, dims)[0]
    torch.testing.assert_close(matrix @ matrix.transpose(1, 2), torch.eye(dims).expand(2, dims, dims))
    most = affine_map(torch.full((1, dims * (dims + 1)), 50.0), dims)[0]
    assert most.isfinite().all() and torch.linalg.det(most).item() == pytest.approx(1.25**dims, rel=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_axes_and_signs_of_flow_and_shift(dims):
    """Of coordinates at non-cubic sizes; `grid_sample` names the last axis first."""
    shape = [12, 20, 16][:dims]
    x = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))[None]
    step = torch.tensor([1.0, 2.0, -3.0][:dims])
    none = affine_map(torch.zeros(1, dims * (dims + 1)), dims)
    flow = step.reshape(1, dims, *[1] * dims).expand(1, dims, *shape)
    numbers = torch.zeros(1, dims * (dims + 1))
    numbers[0, -dims:] = step / torch.tensor([n / 2 for n in shape])
    inside = (..., *[slice(4, -4)] * dims)
    for moved in (warp(x, none, flow), warp(x, affine_map(numbers, dims))):
        torch.testing.assert_close((moved - x)[inside], flow[inside], rtol=0, atol=1e-4)


def test_roughness_by_hand():
    flow = torch.zeros(1, 2, 4, 5)
    flow[0, 0] = 3 * torch.arange(4.0)[:, None]
    assert roughness(flow).item() == pytest.approx(9 / 2 / 2)


def test_each_scan_is_paired_with_another_and_terms_have_their_weights():
    assert partners(torch.arange(6)).tolist() == [1, 0, 3, 2, 5, 4]
    x = smooth(4, 1, 16, 16)
    data = {"view": x + 0.1, "target": x}
    plain, weighted = make().losses(data), make(weights=[2, 3, 5]).losses(data)
    for name, weight in (("similarity", 2), ("smoothness", 3), ("restoration", 5)):
        assert weighted[name].item() == pytest.approx(weight * plain[name].item(), rel=1e-5)
    method = make()
    restored = method.restore(data["view"])["restored"]
    assert plain["restoration"].item() == pytest.approx(F.mse_loss(restored, x).item(), rel=1e-5)
    assert plain["similarity"].item() == pytest.approx(method.dissimilarity(x, partners(x)).item(), rel=1e-3)


def test_training_finds_a_shift():
    """A scan and itself two voxels further: the difference goes, which it cannot without the right axis and sign."""
    torch.manual_seed(0)
    large = smooth(1, 1, 16, 24)
    x = torch.cat([large[..., :20], large[..., 2:22]])
    method = make(weights=[1, 0.1, 0])
    optimizer = torch.optim.Adam(method.parameters(), 1e-2)
    before = method.losses({"view": x, "target": x})["similarity"].item()
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(method.losses({"view": x, "target": x}).values())).sum().backward()
        optimizer.step()
    assert method.losses({"view": x, "target": x})["similarity"].item() < 0.5 * before
    assert method.metrics({"view": x, "target": x})["registered"] > 0.5


def test_even_windows_are_refused():
    with pytest.raises(ValueError, match="`window` must be odd, got 8"):
        make(window=8)
