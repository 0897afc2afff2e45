"""Intensities along a Bezier curve: MG-2 of docs/properties.md, and TOWER's curves."""

import numpy as np
import pytest
import torch
from contract import images, run
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_ssl.transforms import RandBezierd
from monai_ssl.transforms.intensity.bezier import TOWER_CURVES, bezier, interpolate

PROBES = torch.tensor([0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
CHECK_VALUES = [
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0],
    [0.0, 0.3874, 0.4791, 0.5, 0.5209, 0.6126, 1.0],
    [0.0, 0.2204, 0.3853, 0.5, 0.6147, 0.7796, 1.0],
]


def mapped(count, curves="random", ramp=PROBES, seed=0):
    x = ramp.expand(count, 1, 1, len(ramp))
    out = RandBezierd("image", 1.0, curves, params_key="done").set_random_state(seed).batch({"image": x})
    return out["image"][:, 0, 0], out["done"]


def test_ends_and_order_of_a_thousand_curves():
    out, done = mapped(1000, ramp=torch.linspace(0, 1, 200))
    start = done["decreasing"].float()
    torch.testing.assert_close(out[:, 0], start, atol=1e-6, rtol=0)
    torch.testing.assert_close(out[:, -1], 1 - start, atol=1e-6, rtol=0)
    steps = out.diff(dim=1) * (1 - 2 * start)[:, None]
    assert steps.min() >= 0 and out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize("curve", range(3))
def test_curves_of_tower(curve):
    out, done = mapped(8, [TOWER_CURVES[curve]])
    expected = torch.tensor(CHECK_VALUES[curve])
    for result, decreasing in zip(out, done["decreasing"], strict=True):
        # these curves are point-symmetric: backward they are one minus themselves
        atol = 2e-3 if curve else 1e-3
        torch.testing.assert_close(result, 1 - expected if decreasing else expected, atol=atol, rtol=0)
    assert done["decreasing"].any() and not done["decreasing"].all()


def test_the_three_curves_of_tower_come_equally_often_and_half_decreasing():
    _, done = mapped(3000, "tower")
    share = [(done["points"] == torch.tensor(c)).all((1, 2)).float().mean().item() for c in TOWER_CURVES]
    assert share == pytest.approx([1 / 3] * 3, abs=0.03)
    assert done["decreasing"].float().mean() == pytest.approx(0.5, abs=0.03)


def test_random_points_fill_the_unit_square():
    _, done = mapped(1000)
    points = done["points"]
    assert points.min() >= 0 and points.max() <= 1
    assert points.mean(0).sub(0.5).abs().max() < 0.05 and points.std(0).sub(12**-0.5).abs().max() < 0.03


def test_a_decreasing_curve_is_the_reversed_curve_not_the_mirrored_map():
    """For points without symmetry, (X(t), Y(1 - t)) differs from 1 - f."""
    points = [[0.1, 0.9], [0.2, 0.3]]
    out, done = mapped(8, [points])
    rises, falls = out[~done["decreasing"]][0], out[done["decreasing"]][0]
    x, y = bezier(np.array(points), 5000).T
    torch.testing.assert_close(rises, torch.tensor(np.interp(PROBES, x, y)).float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(falls, torch.tensor(np.interp(PROBES, x, y[::-1])).float(), atol=1e-4, rtol=0)
    assert (falls - (1 - rises)).abs().max() > 0.1


def test_probability():
    x = images((1, 2, 2), 3000)
    done = RandBezierd("image", params_key="done").set_random_state(0).batch({"image": x})["done"]
    assert done["applied"].float().mean() == pytest.approx(0.9, abs=0.03)


def test_one_curve_for_all_channels_and_keys():
    x = images((1, 9, 8)).expand(3, 4, 9, 8)
    out = RandBezierd(["a", "b"], 1.0).set_random_state(3).batch({"a": x, "b": x[:, :2]})
    assert torch.equal(out["a"], out["a"][:, :1].expand_as(x)) and torch.equal(out["a"][:, :2], out["b"])


def test_outside_the_unit_interval_the_ends_continue():
    out, _ = mapped(5, ramp=torch.tensor([-3.0, 0.0, 1.0, 2.0]))
    assert torch.equal(out[:, 0], out[:, 1]) and torch.equal(out[:, 2], out[:, 3])


def test_a_channels_last_image_is_mapped_alike():
    x = images((3, 9, 8))
    assert torch.equal(
        run(RandBezierd("image"), x), run(RandBezierd("image"), x.contiguous(memory_format=torch.channels_last))
    )


@given(
    arrays(np.float64, (2, 12), elements=st.floats(-1, 2, width=32)),
    arrays(np.float64, (2, 5), elements=st.floats(0, 1, width=16)),
)
def test_interpolation_is_that_of_numpy(x, values):
    out = interpolate(torch.tensor(x), torch.tensor(values))
    expected = [np.interp(row, np.linspace(0, 1, 5), knots) for row, knots in zip(x, values, strict=True)]
    np.testing.assert_allclose(out, expected, atol=1e-9)


def test_the_map_is_the_curve_of_the_definition():
    """Against a curve of 100,000 points, also where it is steep."""
    ramp = torch.linspace(0, 1, 501)
    out, done = mapped(50, ramp=ramp)
    for row, points, decreasing in zip(out, done["points"], done["decreasing"], strict=True):
        x, y = bezier(points.double().numpy(), 100_000).T
        np.testing.assert_allclose(row, np.interp(ramp, x, y[::-1] if decreasing else y), atol=2e-3)


def test_knots_that_coincide_where_a_curve_ends_stay_finite():
    out, _ = mapped(4, [[[0.0, 1.0], [1.0, 0.0]]], ramp=torch.linspace(0, 1, 5000))
    assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"curves": "s2"}, "`curves` must be 'random', 'tower' or a list of control points, got 's2'"),
        ({"curves": [[0.1, 0.2], [0.3, 0.4]]}, r"each \[\[x1, y1\], \[x2, y2\]\]"),
        ({"curves": [[[0.1, 1.2], [0.3, 0.4]]]}, r"control points of `curves` must be in \[0, 1\]"),
        ({"curves": [[[0.1, -0.2], [0.3, 0.4]]]}, r"control points of `curves` must be in \[0, 1\]"),
        ({"curves": []}, "must be a list of curves"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandBezierd("image", **arguments)


def test_nan_stays_nan_and_spoils_no_other_voxel():
    """The trainer then names the scan; an index that is NaN would end in an error of no name."""
    x = torch.rand(2, 1, 6, 6)
    expected = RandBezierd("image", prob=1.0).set_random_state(0).batch({"image": x})["image"]
    x[0, 0, 2, 3] = torch.nan
    out = RandBezierd("image", prob=1.0).set_random_state(0).batch({"image": x})["image"]
    assert out.isnan().nonzero().tolist() == [[0, 0, 2, 3]]
    assert torch.equal(out[~out.isnan()], expected[~out.isnan()])
