"""Volume fusion: every voxel is mixed by its level, and the last box that holds it decides."""

import pytest
import torch

from monai_ssl.transforms import RandVolumeFusiond


def fused(x, seed=0, **options):
    transform = RandVolumeFusiond("view", params_key="done", **{"least": 3} | options).set_random_state(seed)
    out = transform.batch({"view": x})
    return out["view"], out["levels"], out["done"]


@pytest.mark.parametrize("shape", [(2, 16, 13, 12), (1, 20, 17)])
def test_levels_are_painted_in_turn_and_mix_each_voxel(shape):
    """By a loop over boxes."""
    x = torch.rand(3, *shape)
    view, levels, done = fused(x)
    expected = torch.zeros(3, *shape[1:], dtype=torch.int64)
    for sample, boxes in enumerate(zip(*(done[name] for name in ("start", "size", "level")), strict=True)):
        for start, size, level in zip(*boxes, strict=True):
            box = [slice(first, first + side) for first, side in zip(start.tolist(), size.tolist(), strict=True)]
            expected[sample][tuple(box)] = level
    assert torch.equal(levels, expected) and set(levels.unique().tolist()) == set(range(5))
    alpha = levels[:, None] / 4
    torch.testing.assert_close(view, alpha * x + (1 - alpha) * torch.stack([x[2], x[0], x[1]]))
    nothing = (levels == 0)[:, None].expand_as(x)
    assert torch.equal(view[nothing], x.roll(1, 0)[nothing])


def test_numbers_and_sides_of_boxes():
    _, _, done = fused(torch.rand(300, 1, 32, 16), least=8)
    there = (done["size"] > 0).all(-1)
    assert set(there.sum(1).tolist()) == set(range(10, 40)), "from 10 to 39"
    sides = done["size"][there]
    assert set(sides[:, 0].tolist()) == set(range(8, 21)) and set(sides[:, 1].tolist()) == {8, 9, 10}
    assert (done["start"] + done["size"] <= torch.tensor([32, 16])).all() and done["start"].min() == 0


def test_one_sample_holds_several_images_and_one_alone_is_refused():
    x = torch.rand(2, 1, 16, 16)
    one = RandVolumeFusiond("view", least=3).set_random_state(0)({"view": list(x)})
    view, levels, _ = fused(x)
    assert torch.equal(torch.stack(one["view"]), view) and torch.equal(torch.stack(one["levels"]), levels)
    with pytest.raises(ValueError, match="needs two at least"):
        fused(x[:1])
