"""VICRegL: cells are matched where they lie and by what they look like, and cost what loops say."""

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.losses import vicreg
from monai_ssl.methods import VICRegL
from monai_ssl.methods.vicregl import _places, matched
from monai_ssl.networks import ConvEncoder
from monai_ssl.transforms import BatchViews, Placesd, RandFlipBatchd, RandIoUPairCropd, RandMultiCropd

OWN = {"projection": [16, 16], "map_projection": [8, 8], "matches": 3}
SMALL = {"pretrain": {**OWN, "crops#0#sizes": [[16, 16, 16], [20, 20, 16]]}, "pretrain_2d": OWN}
GLOBAL, LOCAL = ("network.encoder.", "network.projector."), ("network.encoder.", "map_projector.")
MOVES = {
    **dict.fromkeys(("invariance", "variance", "covariance"), GLOBAL),
    **dict.fromkeys(("location", "features"), LOCAL),
}


def make(**options):
    torch.manual_seed(0)
    options = {"widths": (12, 8), "map_widths": (12, 6), "matches": 4} | options
    return VICRegL(ConvEncoder(2, widths=(2, 4, 8)), **options)


def batch(size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    data = {f"view{i}": torch.rand(size, 1, 16, 16, generator=g) for i in (1, 2)}
    grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"))
    return data | {f"place{i}": grid + 7 * torch.rand(size, 2, 1, 1, generator=g) for i in (1, 2)}


@pytest.mark.parametrize("dims", [2, 3])
def test_cells_know_where_they_lie_whatever_is_flipped(dims):
    """Of scans that hold their own coordinates, cut and enlarged to non-cubic crops: a cell's mean is its place."""
    size, out = [20, 14, 26][:dims], [40, 28, 52][:dims]
    scan = torch.stack(torch.meshgrid(*[torch.arange(60.0)] * dims, indexing="ij")) + 0.5
    options = {"background": None, "num_locals": 0, "params_key": "cut"}
    crop = RandIoUPairCropd("image", out, [size], 0.2, **options).set_random_state(0)
    cuts = [crop({"image": scan}) for _ in range(6)]
    cut = {what: torch.stack([torch.as_tensor(c["cut"][what]) for c in cuts]) for what in ("starts", "sizes")}
    data = {"cut": cut, **{f"view{i}": torch.stack([c[f"view{i}"] for c in cuts]) for i in (1, 2)}}
    flips = [RandFlipBatchd([f"view{i}", f"place{i}"], 0.5) for i in (1, 2)]
    views = BatchViews([Placesd(["view1", "view2"], "cut", ["place1", "place2"]), *flips]).set_random_state(1)
    done = views(data)
    assert "cut" not in done
    for i in (1, 2):
        shape = [side // 4 for side in out]
        seen = (_places(x, shape).unflatten(1, shape) for x in (done[f"view{i}"], done[f"place{i}"]))
        inside = (slice(None), *[slice(1, -1)] * dims)  # interpolation repeats the border voxels
        torch.testing.assert_close(*(x[inside] for x in seen), rtol=0, atol=1e-3)
    here, there = (_places(done[f"place{i}"], shape) for i in (1, 2))
    first, second = matched(here, there, 5)
    apart = torch.linalg.vector_norm(
        here.gather(1, first[:, :, None].expand(-1, -1, dims))
        - there.gather(1, second[:, :, None].expand(-1, -1, dims)),
        dim=2,
    )
    # of overlapping crops: less than half the diagonal of a cell, 2 voxels wide in the scan
    assert apart.max() <= dims**0.5 + 1e-3 and (apart.diff(dim=1) >= -1e-5).all()


def test_a_sample_alone_gets_the_maps_of_the_batch():
    x, crop = torch.rand(1, 50, 60), RandMultiCropd("image", out_size=(16, 12), num_locals=0, params_key="cut")
    place = Placesd(["view1", "view2"], "cut", ["place1", "place2"])
    sample = crop.set_random_state(0)({"image": x})
    one, cut = place(sample), sample.pop("cut")
    cut = {what: torch.tensor(cut[what])[None] for what in ("starts", "sizes")}
    many = place.batch({**{key: v[None] for key, v in sample.items()}, "cut": cut})
    assert one.keys() == many.keys() and all(torch.equal(one[k], many[k][0]) for k in one)
    with pytest.raises(ValueError, match="2 keys but 1 names"):
        Placesd(["view1", "view2"], "cut", ["place1"])


def test_pairs_by_loops():
    g = torch.Generator().manual_seed(0)
    here, there = torch.randn(2, 6, 3, generator=g), torch.randn(2, 5, 3, generator=g)
    for b in range(2):
        nearest = [min(range(5), key=lambda j, i=i: (here[b, i] - there[b, j]).norm()) for i in range(6)]
        order = sorted(range(6), key=lambda i: (here[b, i] - there[b, nearest[i]]).norm())[:4]
        first, second = matched(here, there, 4)
        assert first[b].tolist() == order and second[b].tolist() == [nearest[i] for i in order]
        assert matched(here, there, None)[1][b].tolist() == nearest
    assert matched(here, there, 50)[0].shape == (2, 6)


@pytest.mark.parametrize("kept", [None, 5])
def test_local_terms_by_loops(kept):
    method, data = make(feature_matches=kept, alpha=0.4).eval(), batch()
    maps = [method.encoder(data[f"view{i}"])[-1] for i in (1, 2)]
    cells = [torch.stack([method.map_projector(c.flatten(1).T) for c in x]) for x in maps]
    centers = [F.avg_pool2d(data[f"place{i}"], 4).flatten(2).transpose(1, 2) for i in (1, 2)]
    for name, where, count in (("location", centers, 4), ("features", cells, kept)):
        expected = 0.0
        for a, b in ((0, 1), (1, 0)):
            own, other = [], []
            for n, pairs in enumerate(zip(*matched(where[a], where[b], count), strict=True)):
                own.append(torch.stack([cells[a][n][i] for i in pairs[0]]))
                other.append(torch.stack([cells[b][n][j] for j in pairs[1]]))
            terms = vicreg(torch.stack(own).detach(), torch.stack(other).detach())
            expected += 0.6 * float(25 * terms.invariance + 25 * terms.variance + terms.covariance) / 2
        assert method.losses(data)[name].item() == pytest.approx(expected, rel=1e-4)


def test_order_of_cells_does_not_matter():
    method, order = make(matches=6).eval(), torch.randperm(16, generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    cells, there = torch.randn(2, 4, 16, 6, generator=g), torch.rand(2, 4, 16, 2, generator=g)
    moved, placed = cells[0][:, order], there[0][:, order]
    for own, where, count in ((cells, cells, None), (cells, there, 6)):
        plain = method._local(own[0], own[1], where[0], where[1], count)
        changed = method._local(moved, own[1], moved if where is cells else placed, where[1], count)
        assert changed.item() == pytest.approx(plain.item(), rel=1e-5)
        changed = method._local(own[0], own[1][:, order], where[0], where[1][:, order], count)
        assert changed.item() == pytest.approx(plain.item(), rel=1e-5)


def test_alpha_shares_between_images_and_cells():
    data = batch()
    whole, local, half = (make(alpha=a).losses(data) for a in (1.0, 0.0, 0.5))
    for name in ("invariance", "variance", "covariance"):
        assert local[name] == 0 < whole[name]
        assert half[name].item() == pytest.approx(whole[name].item() / 2, rel=1e-5)
    for name in ("location", "features"):
        assert whole[name] == 0 and half[name].item() == pytest.approx(local[name].item() / 2, rel=1e-5)


def test_a_dead_network_costs_what_is_told_and_finds_no_cell():
    method, data = make(), batch()
    for head in (method.network.projector, method.map_projector):
        head[-1].weight.data.zero_()
    dead = {name: x.item() for name, x in method.losses(data).items()}
    assert dead == pytest.approx(method.chance, abs=1e-4) and dead["location"] == pytest.approx(0.25 * 25 * 0.99)
    same = {**data, "view2": data["view1"], "place2": data["place1"]}
    assert make().metrics(same)["found"] == 1 and method.metrics(same)["found"] < 0.1
