"""What tells scans of equal content: means of cells whose borders may lie between voxels."""

import numpy as np
import pytest

from monai_ssl.store.content import _means, content_of


def test_means_of_cells_are_those_of_finely_repeated_voxels():
    lines = np.random.default_rng(0).random((7, 3))
    fine = lines.repeat(10, axis=0)  # 70 parts, in 10 cells of 7
    np.testing.assert_allclose(_means(lines, 10), fine.reshape(10, 7, 3).mean(1), rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "dtype", "low"),
    [((40, 3, 5), np.uint16, 65000), ((40_000, 1, 2), np.uint16, 65000), ((40, 3, 5), np.float64, 2e9 - 1000)],
    ids=["16 bits", "many lines", "whole numbers as floats"],
)
def test_sums_of_lines_do_not_overflow(shape, dtype, low):
    """Along the first axis lines are summed by themselves, along the others together."""
    scan = (low + np.random.default_rng(0).integers(0, 500, shape)).astype(dtype)
    contents = {content_of(np.moveaxis(scan, axis, 0)[None])["content"] for axis in range(3)}
    assert len(contents) == 1
