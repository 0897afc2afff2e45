"""Any rotation in each plane, quarter turns exactly, one zoom."""

import math

import numpy as np
import pytest
import torch
from contract import images

from monai_ssl.transforms import RandPlaneRotationd


class Given:
    """A random state of which the uniform numbers are given."""

    def __init__(self, *uniform):
        self.uniforms = list(uniform)

    def uniform(self, *_):
        return self.uniforms.pop(0)

    def rand(self, *size):
        return np.full(size, 0.5) if size else 0.5

    def randint(self, low, high, size):
        return np.full(size, low)


def turn(x, angles, zoom=1.0, fill="minimum"):
    """What the transform makes of ``x`` (B, C, *spatial) when it draws these angles in radians."""
    made = RandPlaneRotationd("image", 1.0, 0.0, zoom_prob=1.0, fill=fill)
    made.R = Given(*[value for _ in x for value in (np.asarray(angles, float), zoom)])
    return made.batch({"image": x})["image"]


def drawn(count=2000, shape=(1, 8, 8, 8), **options):
    made = RandPlaneRotationd("image", **options).set_random_state(0)
    samples = [made.draw(shape) for _ in range(count)]
    return np.stack([s["angles"] for s in samples]), np.array([s["zoom"] for s in samples])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_move_voxels(turns):
    x = images((1, 9, 9, 9), batch=1)
    for number, plane in enumerate([(1, 2), (2, 0), (0, 1)]):
        angles = np.zeros(3)
        angles[number] = turns * math.pi / 2
        assert torch.allclose(turn(x, angles), torch.rot90(x, turns, [a + 2 for a in plane]), atol=1e-5)
    flat = images((2, 9, 8), batch=1)
    square = flat[..., :8, :]
    assert torch.allclose(turn(square, [turns * math.pi / 2]), torch.rot90(square, turns, (2, 3)), atol=1e-5)


def test_planes_are_turned_one_after_the_other():
    x = images((1, 9, 9, 9), batch=1)
    quarter = math.pi / 2
    expected = x
    for plane in [(3, 4), (4, 2), (2, 3)]:
        expected = torch.rot90(expected, 1, plane)
    assert torch.allclose(turn(x, [quarter] * 3), expected, atol=1e-5)


def test_nothing_drawn_changes_nothing():
    x = images((1, 9, 7, 8))
    assert torch.allclose(turn(x, [0.0, 0.0, 0.0]), x, atol=1e-5)


def test_content_grows_above_one_and_leaves_a_margin_below():
    x = torch.zeros(1, 1, 17, 17)
    x[:, :, 4:13, 4:13] = 1
    areas = [float(turn(x, [0.0], zoom).sum()) for zoom in (0.8, 1.0, 1.2)]
    assert areas[1] == 81 and areas[0] == pytest.approx(81 * 0.64, rel=0.1) and areas[2] == pytest.approx(117, rel=0.1)
    bright = torch.full((1, 1, 16, 16), 0.5)
    assert torch.allclose(turn(bright, [0.0], 0.5), bright), "what enters is the minimum"
    assert turn(bright, [0.0], 0.5, fill="zeros")[0, 0, 0, 0] == 0


def test_half_of_the_planes_turn_and_half_of_these_by_quarters():
    angles, zoom = drawn()
    turned = angles != 0
    quarters = turned & (np.abs(angles / (np.pi / 2) - np.round(angles / (np.pi / 2))) < 1e-9)
    assert turned.mean(0) == pytest.approx(0.5, abs=0.04) and quarters.mean(0) == pytest.approx(0.25, abs=0.04)
    counts = np.bincount(np.round(angles[quarters] / (np.pi / 2)).astype(int), minlength=5) / quarters.sum()
    assert counts[1:4] == pytest.approx(1 / 3, abs=0.04) and counts[[0, 4]].sum() == 0
    free = angles[turned & ~quarters] / (2 * np.pi)
    assert np.histogram(free, 8, (0, 1))[0] / len(free) == pytest.approx(1 / 8, abs=0.03)
    both = (turned[:, 0] & turned[:, 1]).mean()
    assert both == pytest.approx(0.25, abs=0.04), "planes turn independently"
    assert (zoom != 1).mean() == pytest.approx(0.15, abs=0.03) and 0.8 <= zoom.min() < 0.82 and 1.18 < zoom.max() <= 1.2


def test_an_image_has_one_plane():
    assert drawn(3, (1, 8, 8))[0].shape == (3, 1)
