"""What tells scans of equal content: means of cells whose borders may lie between voxels."""

import numpy as np

from monai_ssl.store.content import _means


def test_means_of_cells_are_those_of_finely_repeated_voxels():
    lines = np.random.default_rng(0).random((7, 3))
    fine = lines.repeat(10, axis=0)  # 70 parts, in 10 cells of 7
    np.testing.assert_allclose(_means(lines, 10), fine.reshape(10, 7, 3).mean(1), rtol=1e-12)
