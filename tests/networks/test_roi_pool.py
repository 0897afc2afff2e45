"""Precise RoI pooling against numeric integration, and that coordinates come out where they are."""

import numpy as np
import pytest
import torch

from monai_ssl.networks import roi_pool


@pytest.mark.parametrize("shape", [(7, 5), (6, 4, 9), (1, 8)])
def test_the_mean_of_the_interpolated_map_by_numeric_integration(shape):
    """Separable: along one axis at a time, on a fine grid; some boxes reach beyond the outer centers."""
    g = torch.Generator().manual_seed(0)
    x, cells = torch.rand(3, 2, *shape, generator=g, dtype=torch.float64), 3
    edges = torch.rand(3, 2, len(shape), generator=g).sort(1).values
    edges[0] = torch.tensor([0.0, 1.0])[:, None]
    expected = x.numpy()
    for axis, side in enumerate(shape):
        means = np.zeros((3, cells, side))
        for b in range(3):
            low, high = edges[b, :, axis].numpy()
            points = low + (np.arange(cells * 2000) + 0.5) / (cells * 2000) * (high - low)
            for voxel in range(side):
                hat = np.interp(points * side - 0.5, np.arange(side), np.eye(side)[voxel])
                means[b, :, voxel] = hat.reshape(cells, 2000).mean(1)
        expected = np.moveaxis(
            np.einsum("bkn,bc...n->bc...k", means, np.moveaxis(expected, axis + 2, -1)), -1, axis + 2
        )
    assert roi_pool(x, edges, cells).numpy() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", [(16, 24, 12), (32, 20)])
def test_cells_of_a_coordinate_map_hold_their_centers(shape):
    places = torch.stack(torch.meshgrid(*[(torch.arange(n) + 0.5) / n for n in shape], indexing="ij"))[None]
    low, high = torch.tensor([0.2, 0.4, 0.25][: len(shape)]), torch.tensor([0.9, 0.75, 0.5][: len(shape)])
    pooled = roi_pool(places, torch.stack([low, high])[None], 4)[0]
    for axis in range(len(shape)):
        along = pooled[axis].movedim(axis, -1).flatten(0, -2)
        centers = low[axis] + (torch.arange(4) + 0.5) / 4 * (high - low)[axis]
        torch.testing.assert_close(along, centers.expand_as(along), atol=1e-5, rtol=0)
