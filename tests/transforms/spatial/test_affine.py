import numpy as np
import pytest
import torch
from contract import images, run
from scipy.ndimage import affine_transform

from monai_ssl.transforms import RandAffineBatchd
from monai_ssl.transforms.spatial import interpolation


def matrix_of(transform, x, seed=3):
    transform.params_key = "done"
    out = transform.set_random_state(seed).batch({"image": x})
    return out["image"], out["done"]["matrix"]


@pytest.mark.parametrize("shape", [(1, 20, 17, 14), (1, 20, 17)])
def test_equals_scipy_inside(shape):
    """In voxel coordinates about the center, also where the axes differ in length."""
    x = images(shape, batch=2)
    out, matrices = matrix_of(RandAffineBatchd("image", 25, (0.8, 1.3)), x)
    for image, result, matrix in zip(x[:, 0].numpy(), out[:, 0].numpy(), matrices.double().numpy(), strict=True):
        center = (np.array(shape[1:]) - 1) / 2
        arguments = {"offset": center - matrix @ center, "order": 1}
        expected = affine_transform(image, matrix, cval=np.nan, **arguments)
        inside = np.isfinite(expected)
        assert inside.mean() > 0.3
        np.testing.assert_allclose(result[inside], expected[inside], atol=1e-4)


def test_a_quarter_turn():
    x = images((1, 9, 9, 5))
    transform = RandAffineBatchd("image", (0, 0, 90), (1, 1))
    quarter = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).expand(3, 3, 3)
    out = transform.kernel(x, {"matrix": quarter, "from_minimum": torch.ones(3, dtype=torch.bool)})
    torch.testing.assert_close(out, torch.rot90(x, 1, (2, 3)), atol=1e-5, rtol=0)


def test_scale_above_one_enlarges():
    x = torch.zeros(1, 1, 30, 30, 30)
    x[..., 10:20, 10:20, 10:20] = 1
    volume = run(RandAffineBatchd("image", 0, (1.2, 1.2)), x).sum() / x.sum()
    assert volume == pytest.approx(1.2**3, rel=0.02)


def test_in_plane_rotation_keeps_each_slice_apart():
    x = torch.arange(6.0).expand(1, 1, 12, 12, 6).clone()
    out, matrix = matrix_of(RandAffineBatchd("image", (0, 0, 30), (1, 1)), x)
    torch.testing.assert_close(out[..., 4:8, 4:8, :], x[..., 4:8, 4:8, :], atol=1e-4, rtol=0)
    assert matrix[0, 2].tolist() == [0, 0, 1] and matrix[0, 0, 0] < 1


@pytest.mark.parametrize("spatial", [(12, 10), (12, 10, 8)])
def test_matrices_hold_drawn_angles_and_scales(spatial):
    x = torch.zeros(300, 1, *spatial)
    _, matrix = matrix_of(RandAffineBatchd("image", 10, (0.9, 1.1)), x)
    scales = 1 / matrix.norm(dim=2)  # rows of diag(1 / scale) @ rotation
    assert scales.min() >= 0.9 - 1e-4 and scales.max() <= 1.1 + 1e-4 and scales.std() > 0.04
    rotation = matrix * scales[..., None]
    dims = len(spatial)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(dims).expand(300, -1, -1), atol=1e-5, rtol=0)
    assert (torch.linalg.det(rotation) > 0).all()
    if dims == 2:
        angles = torch.rad2deg(torch.atan2(rotation[:, 0, 1], rotation[:, 0, 0]))
        assert angles.abs().max() <= 10 and angles.min() < -9 and angles.max() > 9


def test_fill():
    x = images((2, 16, 16)) + 5
    x[:, 1] += 3
    shrink = {"degrees": 0, "scale": (0.5, 0.5)}
    lowest = run(RandAffineBatchd("image", **shrink), x)[..., 0, 0]
    torch.testing.assert_close(lowest, x.flatten(2).amin(2), atol=1e-5, rtol=0)
    assert run(RandAffineBatchd("image", **shrink, fill="zeros"), x)[..., 0, 0].abs().max() == 0


def test_errors():
    with pytest.raises(ValueError, match="`degrees` has 3 numbers, but the image has 1 "):
        run(RandAffineBatchd("image", (0, 0, 10)), images((1, 9, 9)))


@pytest.mark.parametrize("places", [1, 12 * 10 * 8 * 2])
def test_how_many_samples_are_treated_at_once_changes_nothing(monkeypatch, places):
    x = images((2, 12, 10, 8), batch=5)
    whole = run(RandAffineBatchd("image"), x)
    monkeypatch.setattr(interpolation, "_AT_ONCE", places)
    # what is left in memory that is used again must not be the result
    run(RandAffineBatchd("image"), images((2, 12, 10, 8), batch=5, seed=1))
    assert torch.equal(run(RandAffineBatchd("image"), x), whole)
