"""CMC: CMC-1 to CMC-4 of docs/properties.md."""

import copy

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import CMC
from monai_ssl.networks import ConvEncoder, SplitEncoder, build, recipe_of, remember
from monai_ssl.networks.wrappers.split_encoder import gradient_magnitude

SMALL = {
    "pretrain": {"widths": [4, 8, 16, 32]},
    "pretrain_2d": {},
}
MOVES = {"first": ("network.first.", "heads.0."), "second": ("network.second.", "heads.1.")}


def half(channels=1, seed=0):
    torch.manual_seed(seed)
    encoder = ConvEncoder(2, in_channels=channels, widths=(2, 4, 8))
    remember(
        encoder, "monai_ssl.networks.ConvEncoder", {"spatial_dims": 2, "in_channels": channels, "widths": [2, 4, 8]}
    )
    return encoder


def make(groups=((0,), (1,)), **options) -> CMC:
    encoder = SplitEncoder(half(), half(seed=1), groups)
    torch.manual_seed(2)
    return CMC(encoder, **({"samples": 9, "dim": 4} | options))


def images(channels=2):
    g = torch.Generator().manual_seed(0)
    return {"view": torch.rand(3, channels, 16, 16, generator=g), "index": torch.tensor([5, 0, 7])}


def test_each_part_meets_what_the_other_left_and_leaves_its_own():
    """CMC-1: eq. 6; the bank is that of InsDis."""
    method, batch = make(), images()
    banks = [c.bank.features.clone() for c in (method.first, method.second)]
    terms, index = method(batch), batch["index"]
    f1 = method.heads[0](method.network.first.pooled(batch["view"][:, :1]))
    f2 = method.heads[1](method.network.second.pooled(batch["view"][:, 1:]))
    torch.testing.assert_close(terms["first"], method.second(f1, banks[1][index], index))
    torch.testing.assert_close(terms["second"], method.first(f2, banks[0][index], index))
    method.after_step()
    for bank, old, f in ((method.first.bank, banks[0], f1), (method.second.bank, banks[1], f2)):
        expected = F.normalize(0.5 * old[index] + 0.5 * F.normalize(f, dim=1), dim=1)
        torch.testing.assert_close(bank.features[index], expected.detach())


def swapped(method):
    """The same with first and second part exchanged."""
    other = copy.deepcopy(method)
    other.network.first, other.network.second = method.network.second, method.network.first
    other.network.groups = method.network.groups[::-1]
    other.heads[0], other.heads[1] = method.heads[1], method.heads[0]
    other.first, other.second = method.second, method.first
    return other


def test_views_that_are_swapped_swap_the_terms_and_equal_ones_are_equal():
    """CMC-2."""
    method, batch = make(), images()
    terms, other = method(batch), swapped(method)(batch)
    assert torch.equal(terms["first"], other["second"]) and torch.equal(terms["second"], other["first"])
    same = make(groups=((0,), (0,)))
    same.network.second, same.heads[1] = same.network.first, same.heads[0]
    same.second.bank.features.copy_(same.first.bank.features)
    terms = same(batch)
    assert torch.equal(terms["first"], terms["second"])


def test_one_channel_becomes_image_and_gradient_and_parts_that_do_not_fit_are_refused():
    """CMC-3: a slope of 1 along one axis has a gradient of length 1."""
    slope = torch.arange(16.0).expand(1, 1, 16, 16)
    one, two = SplitEncoder(half(), half()).parts(slope)
    assert torch.equal(one, slope) and torch.equal(two, torch.ones_like(slope))
    for groups, message in (
        ([[0]], r"must be two lists .* leave `groups` out"),
        ([[0], [1, 2]], r"parts have 1 and 2 channels, but .* `second` for 1"),
        ([[0], [-1]], "has not"),
    ):
        with pytest.raises(ValueError, match=message):
            SplitEncoder(half(), half(), groups)
    with pytest.raises(ValueError, match="image of 1 channels has not"):
        SplitEncoder(half(), half(), [[0], [1]], in_channels=1)


def test_what_is_exported_is_both_side_by_side_and_takes_the_whole_image():
    """CMC-4: a recipe builds both, also for another number of channels."""
    encoder = SplitEncoder(half(), half(seed=1))
    remember(encoder, "monai_ssl.networks.SplitEncoder", {"first": encoder.first, "second": encoder.second})
    again = build(recipe_of(encoder))
    again.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 1, 16, 16)
    halves = torch.cat(encoder.halves(x), dim=1)
    assert torch.equal(encoder.pooled(x), halves) and torch.equal(again.pooled(x), halves)
    assert build(recipe_of(encoder), in_channels=3).pooled(x.expand(-1, 3, -1, -1)).shape == (2, 16)


def test_the_gradient_has_a_length_over_all_axes():
    x = 3 * torch.arange(5.0)[:, None, None] + 4 * torch.arange(6.0)[:, None] + 12 * torch.arange(4.0)
    torch.testing.assert_close(gradient_magnitude(x[None, None]), torch.full((1, 1, 5, 6, 4), 13.0))
