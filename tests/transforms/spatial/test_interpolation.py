"""Linear interpolation: PyTorch's own, on which devices and for how many dimensions ever."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monai_ssl.transforms.spatial import interpolation
from monai_ssl.transforms.spatial.compiled import compiled, eight_voxels
from monai_ssl.transforms.spatial.interpolation import interpolate


@pytest.fixture(params=["numba", "torch"], autouse=True)
def who_computes(request, monkeypatch):
    """Volumes on a CPU by compiled code, where numba is installed, and without."""
    if request.param == "torch":
        monkeypatch.setattr(interpolation, "compiled", lambda: None)
    elif compiled() is None:
        pytest.skip("numba is not installed")
    return request.param


def reference(x, places):
    grid = [(2 * place + 1) / size - 1 for place, size in zip(places, x.shape[2:], strict=True)]
    return F.grid_sample(x, torch.stack(grid[::-1], -1), align_corners=False)


def some_places(shape, out, seed, batch=2):
    """A third of them outside, some on voxels and on the border."""
    random = torch.Generator().manual_seed(seed)
    places = [(torch.rand(batch, *out, generator=random) * 2 - 0.5) * size for size in shape]
    for place, size in zip(places, shape, strict=True):
        place.view(batch, -1)[:, :4] = torch.tensor([0.0, size - 1.0, -1.0, float(size)])
    return places


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=3), st.integers(1, 3), st.integers(1, 4), st.integers(0, 9)
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_equals_grid_sample(shape, channels, side, seed):
    out = (4, *(side for _ in shape[1:]))
    x = torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(seed))
    places = some_places(shape, out, seed)
    torch.testing.assert_close(interpolate(x, places), reference(x, places), atol=1e-4, rtol=1e-4)


def test_a_linear_function_is_itself_inside_and_a_voxel_is_its_value():
    shape = (5, 6, 7)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    x = sum(c * axis for c, axis in zip((2.0, -3.0, 0.5), axes, strict=True))[None, None]
    random = torch.Generator().manual_seed(0)
    places = [torch.rand(1, 50, generator=random) * (n - 1) for n in shape]
    expected = sum(c * place for c, place in zip((2.0, -3.0, 0.5), places, strict=True))
    torch.testing.assert_close(interpolate(x, places)[0], expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(interpolate(x, [axis[None] for axis in axes]), x)


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_the_size_of_a_piece_changes_nothing(monkeypatch, at_once):
    x, places = torch.randn(2, 2, 4, 5, 6), some_places((4, 5, 6), (4, 3, 2), 1)
    whole = interpolate(x, places)
    monkeypatch.setattr(interpolation, "_AT_ONCE", at_once)
    assert torch.equal(interpolate(x, places), whole)


def test_far_outside_is_zero():
    x = torch.ones(1, 1, 3, 3, 3)
    for place in (-1.0, -1e6, 3.0, 1e6):
        assert interpolate(x, [torch.full((1, 1), v) for v in (place, 1.0, 1.0)]).item() == 0
    assert interpolate(x, [torch.full((1, 1), v) for v in (-0.25, 1.0, 1.0)]).item() == pytest.approx(0.75)


@pytest.mark.parametrize("shape", [(5, 4), (4, 5, 6)])
def test_outside_is_as_if_the_image_went_on_with_that_value(shape):
    x, outside = torch.randn(2, 2, *shape), torch.randn(2, 2)
    large = outside.reshape(2, 2, *[1] * len(shape)).repeat(1, 1, *(n + 14 for n in shape))
    large[(..., *(slice(7, 7 + n) for n in shape))] = x
    places = some_places(shape, (6, 5, 4)[: len(shape)], 3)
    found = interpolate(x, places, outside)
    torch.testing.assert_close(found, reference(large, [place + 7 for place in places]), atol=1e-4, rtol=1e-4)
    far = torch.stack([(place < -1) | (place > n) for place, n in zip(places, shape, strict=True)]).any(0).flatten(1)
    held = outside[..., None].expand(2, 2, far.shape[1])
    assert torch.allclose(found.flatten(2).movedim(1, 2)[far], held.movedim(1, 2)[far], atol=1e-6)


@pytest.mark.parametrize("place", [float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
def test_no_place_is_read_from_beyond_the_volume(place, who_computes):
    x, places = torch.randn(1, 1, 3, 4, 5), [torch.full((1, 4), place)] * 3
    if who_computes == "torch" and place != place:
        with pytest.raises(IndexError):
            interpolate(x, places)
    else:
        assert (interpolate(x, places) == 0).all()


def test_what_is_compiled_does_what_it_says_uncompiled():
    volume, out = np.arange(4 * 5 * 6, dtype=np.float32), np.zeros(3, np.float32)
    x, y, z = np.array([[0.5, 0, -1], [0.25, 1, -9], [1.5, 2, 50]], np.float32)
    eight_voxels(volume, np.int32(6), np.int32(30), x, y, z, np.array([2, 3, 4], np.float32), out)
    # one voxel along each axis counts 30, 6 and 1, and the frame has one before
    assert out.tolist() == [30 * 1.5 + 6 * 1.25 + 2.5, 30 + 12 + 3, 0 + 0 + 4]
