"""Cutout in two rounds: boxes by a loop, noise first, another sample over it, and shares that are kept."""

import pytest
import torch

from monai_ssl.transforms import RandMixedCutoutd


def cut(x, seed=0, **options):
    out = RandMixedCutoutd("view", params_key="done", **options).set_random_state(seed).batch({"view": x})
    return out["view"], out["done"]


def covered(start, size, spatial):
    mask = torch.zeros(spatial, dtype=torch.bool)
    for first, sides in zip(start.tolist(), size.tolist(), strict=True):
        mask[tuple(slice(f, f + s) for f, s in zip(first, sides, strict=True))] = True
    return mask


@pytest.mark.parametrize("shape", [(2, 20, 13, 12), (1, 20, 17)])
def test_noise_then_another_sample(shape):
    x = torch.rand(6, *shape) + 2
    before = x.clone()
    view, done = cut(x)
    assert torch.equal(x, before)
    others = (done["other"] * 6).long()
    assert len(set((others == torch.arange(6)).tolist())) == 2, "the seed must have both"
    for b in range(6):
        noise, other = (covered(done["start"][b, i], done["size"][b, i], shape[1:]) for i in range(2))
        if others[b] == b:
            other[:] = False
        assert torch.equal(view[b][:, other], x[others[b]][:, other])
        assert torch.equal(view[b][:, ~other & ~noise], x[b][:, ~other & ~noise])
        filled = view[b][:, noise & ~other]
        assert filled.numel() and filled.min() >= 0 and filled.max() <= 1 and filled.std() > 0.05


def test_boxes_sum_to_the_share_and_have_its_sides():
    _, done = cut(torch.rand(200, 1, 40, 20))
    size = done["size"].flatten(0, 1)
    there = (size > 0).all(-1)
    assert set(size[there][:, 0].tolist()) == set(range(2, 11)) and set(size[there][:, 1].tolist()) == set(range(1, 6))
    assert (done["start"] + done["size"] <= torch.tensor([40, 20])).all() and done["start"].min() == 0
    share = size.prod(-1).sum(-1) / 800
    # uniform up to 0.3, reached by the last box and not missed by it: half a box more in the mean
    box = (5 + 1) * 3 / 800
    assert share.mean() == pytest.approx(0.15 + box / 2, abs=0.009)
    assert 0.28 < share.max() <= 0.3 + 50 / 800


def test_nothing_is_cut_of_no_share_and_a_sample_alone_keeps_to_noise():
    x = torch.rand(3, 1, 16, 16)
    assert torch.equal(cut(x, share=0.0)[0], x)
    alone, done = cut(x[:1])
    noise = covered(done["start"][0, 0], done["size"][0, 0], (16, 16))
    assert torch.equal(alone[0][:, ~noise], x[0][:, ~noise])


def test_one_sample_holds_several_images():
    x = torch.rand(2, 1, 16, 16)
    one = RandMixedCutoutd("view").set_random_state(0)({"view": list(x)})
    assert torch.equal(torch.stack(one["view"]), cut(x)[0])


@pytest.mark.parametrize(("options", "name"), [({"share": 1.5}, "share"), ({"sides": (0.3, 0.1)}, "sides")])
def test_numbers_out_of_range_are_refused(options, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        RandMixedCutoutd("view", **options)
