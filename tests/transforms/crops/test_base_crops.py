"""Base crops cover a grid, and overlaps are what counting voxels says, at sizes that differ between axes."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandBaseCropsd


class Scan:
    """Holds its own coordinates; a body that is not the whole."""

    shape, body_box = (3, 44, 31, 52), ((3, 2, 5), (42, 30, 49))

    def __getitem__(self, where):
        lines = [torch.arange(float(n))[s] for n, s in zip(self.shape[1:], where[1:], strict=True)]
        return torch.stack(torch.meshgrid(*lines, indexing="ij"))


def test_overlap_is_the_share_of_common_voxels_and_bases_tile_the_body():
    size = (13, 9, 44)  # 39 x 28 x 44 voxels of body in a grid of 3 x 3 x 1
    crop = RandBaseCropsd("image", size, (3, 3, 1), 3, margin="body", params_key="cut").set_random_state(0)
    for _ in range(5):
        out = crop({"image": Scan()})
        assert out["cut"]["size"].tolist() == list(size) and len(out["bases"]) == 9 and len(out["targets"]) == 3
        low = torch.stack([b.flatten(1).amin(1) for b in out["bases"]])
        assert low.tolist() == out["cut"]["base_starts"].tolist(), "read where it is told"
        voxels = [set(map(tuple, b.flatten(1).T.int().tolist())) for b in out["bases"]]
        assert len(set.union(*voxels)) == sum(map(len, voxels)), "bases share no voxel"
        for target, row in zip(out["targets"], out["overlap"], strict=True):
            own = set(map(tuple, target.flatten(1).T.int().tolist()))
            assert row == pytest.approx([len(own & b) / len(own) for b in voxels]) and row.sum() == pytest.approx(1)
            assert (row > 0).sum() <= 4
        for axis, (a, b) in enumerate(zip(*Scan.body_box, strict=True)):
            assert low[:, axis].min() >= a and out["cut"]["base_starts"][:, axis].max() + size[axis] <= b


def test_crops_are_resized_and_targets_go_everywhere():
    crop = RandBaseCropsd("image", (8, 8), (2, 2), 40, params_key="cut", channels=3).set_random_state(0)
    out = crop({"image": torch.rand(1, 24, 41)})
    assert {x.shape for x in out["bases"] + out["targets"]} == {(3, 8, 8)}
    starts = out["cut"]["target_starts"] - out["cut"]["base_starts"][0]
    assert starts.min(0).tolist() == [0, 0] and np.abs(starts.max(0) - [12, 20]).max() <= 1


def test_one_base_is_refused():
    with pytest.raises(ValueError, match="two bases at least"):
        RandBaseCropsd("image", (8, 8), (1, 1))
