import pytest
import torch
from contract import images, run
from scipy.ndimage import gaussian_filter

from monai_ssl.transforms import RandGaussianBlurd
from monai_ssl.transforms.intensity.blur import blur_matrix


@pytest.mark.parametrize("shape", [(2, 20, 17, 14), (1, 30, 9), (1, 3, 24)])
@pytest.mark.parametrize("limit", [0.6, 1.9])
def test_equals_scipy(shape, limit):
    x = images(shape)
    out = RandGaussianBlurd("image", (0, limit), params_key="done").set_random_state(2).batch({"image": x})
    for image, result, sigma in zip(x, out["image"], out["done"]["sigma"].tolist(), strict=True):
        expected = gaussian_filter(image.double().numpy(), [0, *sigma], mode="reflect", truncate=4)
        torch.testing.assert_close(result.double(), torch.from_numpy(expected), atol=2e-6, rtol=0)


def test_matrix_is_symmetric_and_stochastic():
    matrix = blur_matrix(torch.tensor([0.0, 0.7, 5.0]), 9)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(matrix.sum(2), torch.ones(3, 9))
    assert torch.equal(matrix[0], torch.eye(9))


@pytest.mark.parametrize("isotropic", [True, False])
def test_isotropic(isotropic):
    transform = RandGaussianBlurd("image", (0.1, 2), isotropic=isotropic, params_key="done")
    sigma = transform.batch({"image": torch.zeros(50, 1, 9, 9, 9)})["done"]["sigma"]
    assert (sigma.amax(1) == sigma.amin(1)).all() == isotropic
    assert sigma.min() >= 0.1 and sigma.max() <= 2 and sigma.std() > 0.3


def test_errors():
    with pytest.raises(ValueError, match=r"`sigma` of up to 9 voxels is too wide for an image of \(20, 9\)"):
        run(RandGaussianBlurd("image", (0, 9)), images((1, 20, 9)))
