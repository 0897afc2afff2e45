"""Blocks and stripes: TOWER-1, TOWER-2, TOWER-4, TOWER-6 of docs/properties.md."""

import pytest
import torch
from contract import SHAPES, images, run
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.transforms import RandBlockMaskd, RandRaysMaskd, RandStripeMaskd, mask_of

MASKS = [
    lambda prob=1.0, **more: RandBlockMaskd("image", grid=[7, 5, 3][: more.pop("dims", 2)], prob=prob, **more),
    lambda prob=1.0, **more: RandStripeMaskd("image", prob=prob, **{k: v for k, v in more.items() if k != "dims"}),
    lambda prob=1.0, **more: RandRaysMaskd("image", 8, prob=prob, **{k: v for k, v in more.items() if k != "dims"}),
]
each_mask = pytest.mark.parametrize("make", MASKS, ids=["blocks", "stripes", "rays"])


def visible(transform, shape, batch=3):
    """Where ones stay, (B, C, *spatial)."""
    return run(transform, torch.ones(batch, *shape)) == 1


@each_mask
@pytest.mark.parametrize("shape", SHAPES)
def test_masked_is_zero_and_visible_unchanged_in_all_channels(make, shape):
    x = images(shape) + 0.1
    dims = len(shape) - 1
    transform = make(dims=dims, visible_key="visible").set_random_state(0)
    out = transform.batch({"image": x})
    seen = out["visible"]
    assert seen.shape == (3, 1, *shape[1:]) and set(seen.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(out["image"], x * seen)


@each_mask
def test_visible_of_one_sample_of_a_list_and_of_a_batch(make):
    x = images((2, 20, 17))
    whole = make(visible_key="seen").set_random_state(1).batch({"image": x})["seen"]
    transform = make(visible_key="seen").set_random_state(1)
    assert torch.equal(torch.stack([transform({"image": sample})["seen"] for sample in x]), whole)
    assert torch.equal(torch.stack(make(visible_key="seen").set_random_state(1)({"image": list(x)})["seen"]), whole)
    untouched = make(0.0, visible_key="seen").batch({"image": x})["seen"]
    assert torch.equal(untouched, torch.ones(3, 1, 20, 17))


def test_a_second_mask_hides_more_of_what_is_visible():
    x = torch.ones(2, 1, 32, 32)
    first = RandStripeMaskd("image", visible_key="seen").set_random_state(0).batch({"image": x})
    both = RandBlockMaskd("image", grid=4, visible_key="seen").set_random_state(0).batch(first)
    assert torch.equal(both["seen"], both["image"]) and both["seen"].mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("side", [224, 512])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.29])
def test_blocks_hide_exactly_their_share_of_cells(side, ratio):
    seen = visible(RandBlockMaskd("image", ratio), (3, side, side), batch=2)
    cells = seen.unfold(2, side // 32, side // 32).unfold(3, side // 32, side // 32).flatten(4)
    assert torch.equal(cells.all(-1), cells.any(-1)), "a cell is partly hidden"
    share = int(ratio * 32**2 + 1e-9)
    assert (~cells.all(-1)).sum((2, 3)).unique().tolist() == [share]
    assert (~seen).float().mean().item() == pytest.approx(ratio, abs=1 / 32**2)


@given(st.integers(3, 40), st.integers(3, 40), st.data())
def test_blocks_of_any_grid_cover_any_image(height, width, data):
    grid = [data.draw(st.integers(1, height)), data.draw(st.integers(2, width))]
    transform = RandBlockMaskd("image", 0.5, grid, params_key="done").set_random_state(0)
    out = transform.batch({"image": torch.ones(1, 1, height, width)})
    hidden = out["done"]["hidden"][0]
    for row in range(height):
        for column in range(width):
            cell = hidden[row * grid[0] // height, column * grid[1] // width]
            assert out["image"][0, 0, row, column] == (0 if cell else 1)


def test_blocks_in_three_dimensions():
    seen = visible(RandBlockMaskd("image", 0.25, [4, 4, 2]), (1, 16, 16, 16))
    cells = seen.unfold(2, 4, 4).unfold(3, 4, 4).unfold(4, 8, 8).flatten(5)
    assert torch.equal(cells.all(-1), cells.any(-1)) and (~cells.all(-1)).sum((1, 2, 3, 4)).tolist() == [8, 8, 8]


def test_stripes_hide_half_of_the_rows():
    seen = visible(RandStripeMaskd("image"), (3, 160, 224))
    assert torch.equal(seen, seen[:, :1, :1].expand_as(seen)), "a row is partly hidden, or channels differ"
    assert (~seen[:, 0, 0]).sum(1).tolist() == [112, 112, 112]
    assert not torch.equal(seen[0], seen[1])


def test_stripes_of_some_width_along_another_axis():
    seen = visible(RandStripeMaskd("image", 0.25, 5, axis=0), (1, 42, 30, 8))[:, 0, :, 0, 0]
    stripes = [seen[:, i : i + 5] for i in range(0, 42, 5)]
    assert all(torch.equal(s.all(1), s.any(1)) for s in stripes)
    assert (~torch.stack([s.all(1) for s in stripes])).sum(0).tolist() == [2, 2, 2]


def test_each_cell_is_hidden_equally_often():
    transform = RandBlockMaskd("image", 0.25, 4, params_key="done").set_random_state(0)
    hidden = transform.batch({"image": torch.ones(2000, 1, 4, 4)})["done"]["hidden"]
    assert hidden.float().mean(0).sub(0.25).abs().max() < 0.04


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: run(RandBlockMaskd("image"), images((1, 28, 40))), r"`grid` \[32, 32\] has more cells than the image"),
        (lambda: run(RandBlockMaskd("image", grid=[4, 4]), images((1, 8, 8, 8))), "`grid` has 2 numbers"),
        (lambda: run(RandStripeMaskd("image", axis=2), images((1, 8, 8))), r"`axis` must be in \[-2, 1\]"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mask_by_name():
    masks = {"stripes": RandStripeMaskd("image"), "blocks": RandBlockMaskd("image")}
    assert mask_of("blocks", masks) is masks["blocks"]
    with pytest.raises(ValueError, match="`mask` must be 'stripes' or 'blocks', got 'ray'"):
        mask_of("ray", masks)
