"""Sparse convolutions: nothing masked is read, inactive positions are 0, statistics are those of active positions."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_ssl.networks import ConvEncoder, ResidualEncoder, Sparse, sparse_features
from monai_ssl.networks.sparse import check_norms

ENCODERS = {
    "residual 3-D": lambda: ResidualEncoder(3, 2, widths=(4, 6, 8, 8), depths=(1, 1, 2, 1)),
    "plain 3-D": lambda: ConvEncoder(3, 2, (4, 6, 8, 8), norm="instance"),
    "residual 2-D": lambda: ResidualEncoder(2, 2, widths=(4, 6, 8, 8), depths=(1, 1, 2, 1)),
}
each_encoder = pytest.mark.parametrize("encoder", ENCODERS)


def made(name, block=4):
    """An encoder all of whose norms shift and scale, images, and masks of blocks finer than its last stride."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    for p in encoder.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p)
    spatial = (16, 32, 24)[: encoder.spatial_dims]
    visible = torch.zeros(2, 1, *(side // block for side in spatial)).bernoulli(0.3)
    for axis in range(2, visible.ndim):
        visible = visible.repeat_interleave(block, axis)
    return encoder, torch.randn(2, 2, *spatial), visible


@each_encoder
def test_nothing_masked_is_read_also_not_at_borders_or_by_coarse_maps(encoder):
    """The reference masks outputs only, and treats maps coarser than the blocks as dense: both leak."""
    encoder, x, visible = made(encoder)
    features, _ = sparse_features(encoder, x, visible)
    for other in (5.0, float("nan")):
        changed, _ = sparse_features(encoder, torch.where(visible > 0, x, torch.tensor(other)), visible)
        assert all(map(torch.equal, features, changed))
    changed, _ = sparse_features(encoder, torch.where(visible > 0, x + 1, x), visible)
    assert not any(map(torch.equal, features, changed))


@each_encoder
def test_maps_are_zero_where_not_active_and_active_where_any_voxel_is_visible(encoder):
    encoder, x, visible = made(encoder)
    features, active = sparse_features(encoder, x, visible)
    for stride, feature, where in zip(encoder.strides, features, active, strict=True):
        cells = visible
        for axis in range(2, x.ndim):
            cells = cells.unflatten(axis, (-1, stride)).amax(axis + 1)
        assert torch.equal(where, cells) and where.shape[2:] == feature.shape[2:]
        assert (feature * (1 - where) == 0).all() and not (feature * where == 0).all()


@each_encoder
def test_without_a_mask_it_is_the_dense_encoder_and_with_all_visible_its_equal(encoder):
    encoder, x, visible = made(encoder)
    dense, names = encoder(x), list(encoder.state_dict())
    assert all(map(torch.equal, sparse_features(encoder, x, None)[0], dense))
    for a, b in zip(sparse_features(encoder, x, torch.ones_like(visible))[0], dense, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    assert list(encoder.state_dict()) == names
    assert all(map(torch.equal, encoder(x), dense)), "nothing is left behind"


def test_statistics_are_those_of_the_gathered_active_positions():
    x, visible = torch.randn(2, 3, 6, 5) * 3 + 2, torch.zeros(2, 1, 6, 5).bernoulli(0.4)
    weight, bias = torch.randn(3), torch.randn(3)
    with Sparse(visible, (1,)):
        out = F.instance_norm(x, weight=weight, bias=bias)
    for sample in range(2):
        where = visible[sample, 0] > 0
        gathered = F.instance_norm(x[sample][:, where][None], weight=weight, bias=bias)[0]
        torch.testing.assert_close(out[sample][:, where], gathered, rtol=1e-4, atol=1e-5)
        assert (out[sample][:, ~where] == 0).all()


def test_other_norms_and_unknown_maps_are_refused():
    with pytest.raises(ValueError, match="know instance norm only, but the encoder has batch_norm"):
        sparse_features(ConvEncoder(2, widths=(2, 4)), torch.rand(1, 1, 8, 8), torch.ones(1, 1, 8, 8))
    for norm in (nn.BatchNorm2d(2), nn.SyncBatchNorm(2), nn.GroupNorm(1, 2), nn.LayerNorm(2)):
        with pytest.raises(ValueError, match=f"but the encoder has {type(norm).__name__}"):
            check_norms(nn.Sequential(nn.InstanceNorm2d(2, affine=True), norm))
    check_norms(nn.InstanceNorm2d(2, affine=True))
    with Sparse(torch.ones(1, 1, 8, 8), (1, 2)), pytest.raises(ValueError, match=r"A map of \(6, 6\) occurs"):
        F.conv2d(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 3, 3))
