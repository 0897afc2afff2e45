"""Flips and quarter turns that the decoder is told: PCRLv1-4 of docs/properties.md."""

from itertools import product

import pytest
import torch

from monai_ssl.transforms.spatial.orientation import Orientation

SHAPES = [(3, 6, 6), (1, 6, 6, 5)]


def every(dims):
    """All transformations as one batch."""
    drawn = list(product(product((False, True), repeat=dims), range(4)))
    return Orientation(torch.tensor([f for f, _ in drawn]), torch.tensor([k for _, k in drawn]))


@pytest.mark.parametrize("shape", SHAPES)
def test_flips_come_first_then_turns_from_x_to_y(shape):
    told = every(len(shape) - 1)
    x = torch.rand(len(told.turns), *shape)
    out = told.apply(x)
    for image, flips, turns, got in zip(x, *told, out, strict=True):
        axes = [axis for axis, flip in enumerate(flips.tolist(), start=1) if flip]
        expected = torch.rot90(image.flip(axes), int(turns), (1, 2))
        assert torch.equal(got, expected)
        assert turns != 1 or torch.equal(got[:, 0], image.flip(axes)[:, :, -1]), "a voxel on the x axis goes to the y"


@pytest.mark.parametrize("shape", SHAPES)
def test_undo_restores_bit_for_bit_and_nothing_changes_the_input(shape):
    told = every(len(shape) - 1)
    x = torch.rand(len(told.turns), *shape)
    before = x.clone()
    assert torch.equal(told.undo(told.apply(x)), x) and torch.equal(x, before)


@pytest.mark.parametrize("dims", [2, 3])
def test_vector_has_a_bit_for_each_flip_and_one_for_the_turn(dims):
    torch.manual_seed(0)
    told = Orientation.draw(10_000, dims)
    vector = told.vector()
    assert vector.shape == (10_000, dims + 4) and vector.dtype == torch.float32
    assert torch.equal(vector[:, :dims].bool(), told.flips)
    assert torch.equal(vector[:, dims:].sum(1), torch.ones(10_000)) and torch.equal(
        vector[:, dims:].argmax(1), told.turns
    )
    # five standard deviations of 10,000 draws
    assert (vector[:, :dims].mean(0) - 0.5).abs().max() < 0.025
    assert (vector[:, dims:].mean(0) - 0.25).abs().max() < 0.025
    assert len(vector.unique(dim=0)) == 2**dims * 4


def test_a_vector_tells_what_is_done_but_flipping_x_and_y_is_also_a_half_turn():
    told = every(2)
    image = torch.rand(1, 1, 4, 4).expand(16, 1, 4, 4)
    assert len(told.vector().unique(dim=0)) == 16 and len(told.apply(image).unique(dim=0)) == 8


def test_parts_can_be_left_out_without_changing_the_other_draws():
    draws = {}
    for flip, rotate in product((True, False), repeat=2):
        torch.manual_seed(3)
        draws[flip, rotate] = Orientation.draw(50, 3, flip=flip, rotate=rotate)
    assert torch.equal(draws[True, False].flips, draws[True, True].flips) and not draws[True, False].turns.any()
    assert torch.equal(draws[False, True].turns, draws[True, True].turns) and not draws[False, True].flips.any()
    x = torch.rand(50, 1, 4, 4, 2)
    assert torch.equal(draws[False, False].apply(x), x)


def test_odd_turns_of_images_that_are_not_square_are_refused():
    x = torch.rand(2, 1, 6, 4, 4)
    half = Orientation.same(2, (True, False, False), 2)
    assert torch.equal(half.apply(x), torch.rot90(x.flip(2), 2, (2, 3)))
    for turns in (1, 3):
        with pytest.raises(ValueError, match=r"\(6, 4, 4\) cannot be turned by 90 degrees: give `roi_size` equal"):
            Orientation.same(2, (False,) * 3, turns).apply(x)
