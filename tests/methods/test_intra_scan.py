"""Contrast within a scan: equals NT-Xent scan by scan, and no scan feels another."""

import math

import pytest
import torch

from monai_ssl.losses import nt_xent
from monai_ssl.methods import IntraScan
from monai_ssl.networks import ResidualEncoder

SMALL: dict[str, dict] = {
    "pretrain": {"depths": [1, 1, 1, 1], "crops_of_a_scan": 3},
    "pretrain_2d": {"widths": [2, 4, 8, 16], "depths": [1, 1, 1, 1], "crops_of_a_scan": 3},
}
MOVES = {"contrast": ("network.encoder.", "network.projector.")}


def make(crops=3, **options):
    torch.manual_seed(0)
    return IntraScan(ResidualEncoder(2, widths=(4, 8), depths=(1, 1)), crops, hidden=8, dim=6, **options)


def batch(scans=4, crops=3):
    g = torch.Generator().manual_seed(0)
    return {name: torch.rand(scans * crops, 1, 16, 16, generator=g) for name in ("view1", "view2")}


def test_is_the_mean_of_nt_xent_of_each_scan():
    method, data = make(temperature=0.3), batch()
    z1, z2 = (method.network(data[name]) for name in ("view1", "view2"))
    scans = [nt_xent(a, b, 0.3) for a, b in zip(z1.split(3), z2.split(3), strict=True)]
    assert method.losses(data)["contrast"].item() == pytest.approx(sum(scans).item() / 4, rel=1e-5)


def test_no_scan_depends_on_another():
    method, data = make(), batch()
    data["view1"].requires_grad_()
    method.losses({name: x[:3] for name, x in data.items()})["contrast"].backward()
    alone = data["view1"].grad[:3].clone()
    data["view1"].grad = None
    method.losses(data)["contrast"].backward()
    torch.testing.assert_close(4 * data["view1"].grad[:3], alone, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("crops", [2, 15])
def test_chance_is_the_logarithm_of_the_choices(crops):
    method, x = make(crops), torch.rand(1, 1, 16, 16).repeat(2 * crops, 1, 1, 1)
    data = {"view1": x, "view2": x}
    assert method.losses(data)["contrast"].item() == pytest.approx(math.log(2 * crops - 1), abs=1e-4)


def test_equal_views_are_found_and_a_wrong_number_is_refused():
    method, data = make(), batch()
    assert method.metrics({"view1": data["view1"], "view2": data["view1"]})["accuracy"] == 1
    with pytest.raises(ValueError, match="12 views are not 5 of each scan"):
        make(5).losses(data)
