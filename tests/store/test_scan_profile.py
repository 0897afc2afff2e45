"""The look of a scan from afar."""

import numpy as np
import pytest

from monai_ssl.store.scan_profile import scan_profiles


class Scan:
    def __init__(self, values, body):
        self.values, self.body_box = values, body

    def __getitem__(self, where):
        return self.values[where]


@pytest.mark.parametrize("dims", [2, 3])
def test_is_the_mean_of_each_cell_of_the_body(dims):
    inner = np.random.RandomState(0).rand(2, *[16] * dims).astype(np.float32)
    outer = np.pad(inner, [(0, 0)] + [(3, 5)] * dims, constant_values=9.0)
    got = scan_profiles([Scan(outer, ((3,) * dims, (19,) * dims))], cells=4)
    cells = inner.mean(0).reshape([4, 4] * dims).mean(tuple(range(1, 2 * dims, 2)))
    np.testing.assert_allclose(got, cells.reshape(1, -1), rtol=1e-5)


def test_does_not_depend_on_size_and_tells_patients_apart():
    ramp = np.linspace(0, 1, 200, dtype=np.float32)
    large = np.broadcast_to(ramp[:, None, None], (1, 200, 200, 50))
    small = np.broadcast_to(ramp[::4, None, None], (1, 50, 50, 20))
    scans = [Scan(values, ((0, 0, 0), values.shape[1:])) for values in (large, small, 1 - small)]
    a, b, c = scan_profiles(scans)
    assert len(a) == 512 and np.linalg.norm(a - b) < 0.1 * np.linalg.norm(a - c)
