"""Presets map to [0, 1] as their docstrings say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monai_ssl.store import CTWindow, ImageRange, MRPercentiles, default_intensity, intensity_from_dict
from monai_ssl.store.statistics import PERCENTILES, intensity_statistics

PRESETS = [CTWindow(), CTWindow(-160, 240), MRPercentiles(), MRPercentiles(1, 99), ImageRange()]


def test_ct_window_at_known_values():
    hu = np.array([-2000, -1000, -150, 0, 1000, 3000], np.int16)
    np.testing.assert_allclose(CTWindow()(hu), [0, 0, 0.425, 0.5, 1, 1], atol=1e-7)
    assert CTWindow()(hu)[4] == 1.0 and CTWindow()(hu)[1] == 0.0


@pytest.mark.parametrize("preset", PRESETS, ids=repr)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
@given(data=st.data())
def test_monotone_bounded_float32(preset, dtype, data):
    low, high = (0, 255) if dtype is np.uint8 else (0, 3000)
    array = np.sort(data.draw(arrays(dtype, 40, elements=st.integers(low, high))))
    out = preset(array)
    assert out.dtype == np.float32 and out.shape == array.shape
    assert np.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert (np.diff(out) >= 0).all()


def test_percentiles_of_the_scan_not_of_the_window():
    scan = np.arange(1001, dtype=np.int16).reshape(1, 7, 11, 13)
    statistics = intensity_statistics(scan, None)
    window = scan[:, :2]
    np.testing.assert_allclose(MRPercentiles()(window, statistics), MRPercentiles()(scan)[:, :2], atol=1e-6)
    assert not np.allclose(MRPercentiles()(window), MRPercentiles()(window, statistics))
    # 0.5 % and 99.5 % of 0..1000 are 5 and 995
    np.testing.assert_allclose(MRPercentiles()(np.array([5, 500, 995]), statistics), [0, 0.5, 1], atol=1e-6)


def test_mostly_constant_scan_falls_back_to_its_range():
    scan = np.zeros((1, 100, 100), np.int16)
    scan[0, 0, 0] = 8
    assert MRPercentiles()(scan).max() == 1.0
    assert ImageRange()(np.full((1, 4, 4), 7, np.uint16)).max() == 0.0


def test_eight_bit_pictures_by_their_full_range():
    np.testing.assert_allclose(ImageRange()(np.array([0, 51, 255], np.uint8)), [0, 0.2, 1], atol=1e-7)


@pytest.mark.parametrize("preset", PRESETS, ids=repr)
def test_recorded_and_rebuilt(preset):
    assert intensity_from_dict(preset.to_dict()) == preset


def test_defaults():
    assert default_intensity("ct") == CTWindow()
    assert default_intensity("mr") == MRPercentiles()
    assert default_intensity("xray") == default_intensity("us") == ImageRange()


def test_messages():
    with pytest.raises(ValueError, match=r"`low` of CTWindow must be below `high`, got 5 and 5"):
        CTWindow(5, 5)
    with pytest.raises(ValueError, match=r"Percentiles must be in \[0, 100\], got `low`=-1"):
        ImageRange(-1, 50)
    with pytest.raises(ValueError, match="`kind`='gamma' is unknown"):
        intensity_from_dict({"kind": "gamma"})
    with pytest.raises(ValueError, match="Percentile 3 is not in the statistics"):
        MRPercentiles(3, 99)(np.arange(5), {f"p{q:g}": 0.0 for q in PERCENTILES})


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_statistics_agree_with_numpy(dtype):
    rng = np.random.default_rng(0)
    array = rng.normal(100, 40, (2, 6, 7, 8)).clip(0, 255).astype(dtype)
    if dtype is np.int16:
        array -= 300
    above = float(np.median(array))
    found = intensity_statistics(array, above)
    inner = array[array > above].astype(float)
    expected = {
        "min": array.min(),
        "max": array.max(),
        "mean": array.mean(dtype=float),
        "std": array.std(dtype=float),
        **{f"p{q:g}": np.percentile(array.astype(float), q) for q in PERCENTILES},
        "foreground_mean": inner.mean(),
        "foreground_std": inner.std(),
        "foreground_fraction": inner.size / array.size,
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
