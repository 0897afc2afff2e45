"""SparK: no leak through encoder, densified maps and decoder; the dense state dict; recomputation."""

import pytest
import torch

from monai_ssl.engines.recomputation import recompute_blocks
from monai_ssl.methods import MAE, Spark
from monai_ssl.networks import ResidualEncoder, RestorationUNet

SMALL: dict[str, dict] = {
    "pretrain": {"depths": [1, 1, 1, 1], "block": 4},
    "pretrain_2d": {"widths": [2, 4, 8, 16], "depths": [1, 1, 1, 1]},
}
MOVES = {"restoration": ("network.encoder.", "network.decoder.", "network.head.", "densify.")}


def make():
    torch.manual_seed(0)
    return Spark(RestorationUNet(ResidualEncoder(widths=(4, 8, 16), depths=(1, 1, 1)), bounded=False))


def batch():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 16, 16, 8, generator=g)
    return {"view": x, "target": x, "visible": torch.zeros(2, 1, 16, 16, 8).bernoulli(0.25, generator=g)}


def test_what_is_masked_reaches_neither_features_nor_restoration():
    method, data = make(), batch()
    first = method.panels(data)["restored"]
    other = torch.where(data["visible"] > 0, data["view"], torch.tensor(float("nan")))
    assert torch.equal(method.panels({**data, "view": other})["restored"], first)
    other = torch.where(data["visible"] > 0, data["view"] + 1, data["view"])
    assert not torch.equal(method.panels({**data, "view": other})["restored"], first)


def test_loss_is_the_mean_square_of_the_error_where_masked():
    method, data = make(), batch()
    restored = method.panels(data)["restored"]
    errors = [(r - t)[:, v[0] == 0] for r, t, v in zip(restored, data["target"], data["visible"], strict=True)]
    expected = sum(e.square().mean() for e in errors) / 2
    assert method.losses(data)["restoration"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_what_is_transferred_has_the_names_and_values_of_the_dense_network():
    method = make()
    dense = MAE(RestorationUNet(ResidualEncoder(widths=(4, 8, 16), depths=(1, 1, 1)), bounded=False))
    dense.backbone.load_state_dict(method.backbone.state_dict())
    x = batch()["view"]
    assert all(map(torch.equal, method.encoder(x), dense.encoder(x)))


def test_each_scale_has_a_token_and_a_projection():
    """In the reference the finest scale, which needs it most, has none."""
    method, data = make(), batch()
    method.losses(data)["restoration"].backward()
    assert [d.projection.kernel_size[0] for d in method.densify] == [3, 3, 1]
    # at the coarsest scale every cell has a visible voxel here, so that its token stands nowhere
    assert all(d.token.abs().max() <= 0.02 and d.projection.weight.grad.abs().sum() > 0 for d in method.densify)
    assert all(d.token.grad.abs().sum() > 0 for d in method.densify[:2])


def test_blocks_computed_again_are_sparse_too():
    gradients = []
    for again in (False, True):
        method = make()
        if again:
            recompute_blocks(method)
        method.losses(batch())["restoration"].backward()
        gradients.append([p.grad for p in method.parameters()])
    assert all(map(torch.equal, *gradients))
