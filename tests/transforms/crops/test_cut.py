"""Reading windows and resizing them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Resize
from torch.nn.functional import interpolate

from monai_ssl.transforms.crops.boxes import Box
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape


@pytest.mark.parametrize("size", [(96, 96, 64), (112, 100, 64), (64, 80, 20)])
def test_resize_equals_monai_away_from_the_border(size):
    x = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    monai = Resize((64, 64, 32), mode="trilinear", anti_aliasing=True, align_corners=False)(x).as_tensor()
    inner = (slice(None), slice(6, -6), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(resize(x, (64, 64, 32))[inner], monai[inner], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(64, 64, 32), (40, 31, 17), (16, 16, 1)])
def test_enlarging_equals_plain_interpolation(size):
    x = torch.rand(1, 16, 16, 1)
    plain = interpolate(x[None], size=size, mode="trilinear", align_corners=False)[0]
    torch.testing.assert_close(resize(x, size), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(9, 30, 50), (40, 50), (7, 200)])
def test_constants_stay_constant_up_to_the_border(size):
    x = torch.full((1, 40, 50, 30)[: len(size) + 1], 0.52)
    torch.testing.assert_close(resize(x, size), torch.full((1, *size), 0.52))


def test_resize_stays_within_the_range_of_the_input():
    x = (torch.rand(1, 50, 40, 30) > 0.5).float()
    out = resize(x, (16, 64, 12))
    assert out.min() >= -1e-6 and out.max() <= 1 + 1e-6


def test_resize_removes_what_the_coarse_grid_cannot_show():
    # sampled at every third voxel, stripes of one voxel would stay stripes
    stripes = torch.arange(96).remainder(2).float().expand(1, 32, 32, 96)
    assert resize(stripes, (32, 32, 32))[..., 2:-2].sub(0.5).abs().max() < 0.02
    assert resize(stripes[:, :, 0], (32, 32))[..., 2:-2].sub(0.5).abs().max() < 0.06


def test_resize_to_the_same_size_copies():
    x = torch.rand(1, 8, 9, 10).permute(0, 3, 2, 1)
    out = resize(x, (10, 9, 8))
    assert torch.equal(out, x) and out.is_contiguous() and out.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("make", [torch.from_numpy, lambda a: MetaTensor(torch.from_numpy(a)), lambda a: a])
def test_window_is_float32_and_plain(make):
    array = np.arange(8 * 9 * 10, dtype=np.int16).reshape(1, 8, 9, 10)
    array.flags.writeable = not isinstance(make(array), np.ndarray)
    window = read_window(make(array), Box(np.array([1, 2, 3]), np.array([4, 5, 6])))
    assert type(window) is torch.Tensor and window.dtype == torch.float32
    assert np.array_equal(window.numpy(), array[:, 1:5, 2:7, 3:9])


def test_thin_scan_is_named():
    scan = SimpleNamespace(shape=(1, 64, 64, 5), key="patient-07")
    with pytest.raises(ValueError, match=r"`Cropd` needs at least 8 voxels .* but `patient-07` has .*\(1, 64, 64, 5\)"):
        spatial_shape(scan, 3, "Cropd")


def test_wrong_number_of_axes_is_named():
    with pytest.raises(ValueError, match=r"`Cropd` cuts 3-D windows .* but the scan has the shape \(1, 64, 64\)"):
        spatial_shape(torch.zeros(1, 64, 64), 3, "Cropd")
