"""A store reads windows, and only these."""

import gc
import pickle
from pathlib import Path

import numpy as np
import pytest
from files import cut, nifti
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.errors import ScanError
from monai_ssl.store import CTWindow, MRPercentiles, PrepareOptions, Store, array_maps, inspect_store, prepare
from monai_ssl.store.body_box import CT_BODY_ABOVE, body_box, foreground_threshold
from monai_ssl.store.resample import resample

HERE = PrepareOptions(workers=0)


def ct(shape=(12, 14, 10), seed=0):
    array = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
    array[0, 0, 0] = -1000
    return array


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("store")
    for seed in range(20):
        nifti(root / "src" / f"p{seed:02d}.nii.gz", ct(seed=seed))
    prepare(root / "src", root / "store", HERE)
    return root


@pytest.fixture(scope="module")
def store(root):
    return Store(root / "store")


@pytest.fixture(scope="module")
def compressed(root):
    """Of the same scans, in an interrupted run without compression that went on with it."""
    prepare(root / "src" / "p03.nii.gz", root / "compressed", HERE)
    prepare(root / "src", root / "compressed", PrepareOptions(workers=0, compress=True))
    return Store(root / "compressed")


slices = st.tuples(*(st.slices(n) for n in (1, 12, 14, 10)))


@settings(max_examples=50)
@given(window=slices)
def test_windows_are_those_of_the_whole_array(store, window):
    scan = store[3]
    whole = scan.raw()
    assert whole.shape == scan.shape == (1, 12, 14, 10) and whole.dtype == scan.dtype == np.int16
    np.testing.assert_array_equal(scan.raw(window), whole[window])
    np.testing.assert_array_equal(scan[window], CTWindow()(whole)[window])
    assert scan[window].dtype == np.float32


@settings(max_examples=50)
@given(window=slices | st.tuples(*(st.integers(-n, n - 1) | st.slices(n) for n in (1, 12))))
def test_compressed_windows_are_the_same_to_the_bit(store, compressed, window):
    scan, same = store[5], compressed[5]
    assert same.compression == "blosc2" and same.path.suffix == ".b2nd"
    for one, two in ((scan.raw(window), same.raw(window)), (scan[window], same[window])):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def test_a_compressed_store_is_the_same_store(store, compressed, root):
    assert compressed.fingerprint == store.fingerprint
    assert inspect_store(compressed).dtypes == {"int16 blosc2": 19, "int16": 1}
    for scan, same in zip(store, compressed, strict=True):
        assert pickle.loads(pickle.dumps(same))[:].tobytes() == scan[:].tobytes()
    before = compressed[7].path.read_bytes()
    cut(compressed[7].path)
    with pytest.raises(ValueError, match=rf"Scan {compressed[7].key} of the store was cut short, .* prepare SRC STORE"):
        compressed[7][:]
    # the same bytes again: a restored store is the one that it was
    prepare(root / "src", root / "compressed", PrepareOptions(workers=0, compress=True))
    assert compressed[7].path.read_bytes() == before and np.array_equal(compressed[7][:], store[7][:])


def test_what_cannot_be_decoded_names_its_scan(compressed):
    scan = compressed[8]
    content = scan.path.read_bytes()
    scan.path.unlink()
    scan.path.write_bytes(bytes(200) + content[200:])
    with pytest.raises(ValueError, match=rf"Scan {scan.key} of the store .*: run `python -m monai_ssl prepare"):
        scan[:]


def test_a_flag_that_no_store_writes_is_refused_before_blosc2_dies_of_it(compressed):
    scan = compressed[9]
    content = bytearray(scan.path.read_bytes())
    # behind the header of the file, whose length stands in it
    first_chunk = int.from_bytes(content[11:15])
    # "lazy": what follows is looked for behind the end of the chunk
    content[first_chunk + 31] |= 0x08
    scan.path.unlink()
    scan.path.write_bytes(content)
    with pytest.raises(ScanError, match=rf"Scan {scan.key} of the store cannot be opened .is damaged"):
        scan[:]


def test_a_window_can_be_changed(store):
    before = store[0].raw()
    for window in (store[0].raw((slice(None), slice(0, 3))), store[0][:, 0:3]):
        window[:] = 0
    np.testing.assert_array_equal(store[0].raw(), before)


def test_few_files_stay_open(store):
    array_maps._maps.clear()
    for scan in store:
        scan[:, :2]
    assert len(store) == 20 > len(array_maps._maps) == array_maps._MOST
    gc.collect()
    open_files = [str(p.readlink()) for p in Path("/proc/self/fd").glob("*") if p.is_symlink() and p.exists()]
    assert sum("scans" in name for name in open_files) <= array_maps._MOST


def test_a_window_touches_only_its_pages(tmp_path):
    nifti(tmp_path / "src" / "a.nii", np.tile(ct((64, 16, 16)), (1, 32, 32)))
    prepare(tmp_path / "src", tmp_path / "store", HERE)
    array_maps._maps.clear()
    scan = Store(tmp_path / "store")[0]
    assert scan.path.stat().st_size > 32e6
    scan[:, 30:32]
    smaps = Path("/proc/self/smaps").read_text()
    entry = smaps[smaps.index(str(scan.path)) :]
    resident = int(entry[entry.index("Rss:") :].split()[1]) * 1024
    # two of 64 slabs, and what the kernel maps around a fault: up to 2 MB on either side
    assert resident < scan.path.stat().st_size / 4


def test_pickled_small_and_without_open_files(store):
    scan = store[5]
    scan[:, :2]
    content = pickle.dumps(scan)
    assert len(content) < 5000
    np.testing.assert_array_equal(pickle.loads(content).raw(), scan.raw())
    assert pickle.loads(pickle.dumps(store)).fingerprint == store.fingerprint


def test_what_a_scan_says(store):
    scan = store[0]
    assert scan.spatial_dims == 3 and scan.modality == "ct" and scan.spacing == (1.0, 1.0, 2.0)
    np.testing.assert_array_equal(scan.affine, np.diag([1.0, 1, 2, 1]))
    assert scan.statistics["min"] == -1000 and scan.notes == ()
    assert len(store.patients) == 20 and len(store[2:5]) == 3
    assert store[-1].key == store.scans[-1].key > store[0].key


def test_intensity_for_all_or_by_modality(store):
    path = store.path
    assert Store(path, MRPercentiles())[0].intensity == MRPercentiles()
    assert Store(path, {"ct": CTWindow(-100, 100)})[0].intensity == CTWindow(-100, 100)
    assert Store(path, {"mr": CTWindow(-100, 100)})[0].intensity == CTWindow()


def test_select(store):
    some = store.patients[:3]
    assert sorted(s.patient for s in store.select(some)) == some
    assert not store.select(modality="mr") and len(store.select(spatial_dims=3)) == 20
    assert not store.select([]) and store.select(thicker_than=9)[3:5][1] == store[4]
    assert not store.select(thicker_than=10)
    with pytest.raises(KeyError, match="no patient nobody"):
        store.select(["nobody"])


def test_messages(store, tmp_path):
    with pytest.raises(ValueError, match=r"is not a store .*python -m monai_ssl prepare SRC"):
        Store(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 99, "options": {}, "scans": []}')
    with pytest.raises(ValueError, match="has format 99"):
        Store(tmp_path)
    lost = Store(store.path)[7]
    lost.path = tmp_path / "lost.npy"
    with pytest.raises(ValueError, match=rf"Scan {lost.key} of the store cannot be opened"):
        lost[:, :2]


def test_body_box_holds_the_body_and_not_the_couch():
    hu = np.full((1, 128, 128, 40), -1000, np.int16)
    hu[:, 30:90, 40:100, 5:35] = 30
    hu[:, 10:120, 20:23, :] = 200
    lo, hi = body_box(hu, CT_BODY_ABOVE)
    assert all(0 <= want - got <= 4 for want, got in zip((30, 40, 5), lo, strict=True)), lo
    assert all(0 <= got - want <= 4 for want, got in zip((90, 100, 35), hi, strict=True)), hi


def test_body_box_keeps_both_legs_and_drops_specks():
    hu = np.full((1, 64, 64, 30), -1000, np.int16)
    hu[:, 5:20, 20:40], hu[:, 40:58, 20:40], hu[:, 28:32, 55:59, :4] = 0, 0, 0
    assert body_box(hu, CT_BODY_ABOVE) == ((5, 20, 0), (58, 40, 30))


def test_body_box_drops_a_small_part_that_touches_the_body_at_a_corner_only():
    hu = np.full((1, 32, 32, 32), -1000, np.int16)
    hu[:, 4:24, 4:24, 4:24] = hu[:, 22:28, 22:28, 22:28] = 0
    assert body_box(hu, CT_BODY_ABOVE) == ((4, 4, 4), (25, 25, 25))


def test_body_box_of_a_body_that_the_border_cuts_on_both_sides():
    hu = np.full((1, 32, 32, 2), -1000, np.int16)
    hu[:, 8:24, 6:20] = 0
    assert body_box(hu, CT_BODY_ABOVE) == ((8, 6, 0), (24, 20, 2))


def test_body_box_of_nothing_and_of_pictures_is_all():
    assert body_box(np.full((1, 9, 8, 7), -1000, np.int16), CT_BODY_ABOVE) == ((0, 0, 0), (9, 8, 7))
    picture = np.zeros((1, 30, 20), np.uint8)
    assert foreground_threshold(picture, "xray") is None
    assert body_box(picture, None) == ((0, 0), (30, 20))


def test_threshold_of_mr_is_a_tenth_of_the_robust_range():
    array = np.linspace(0, 1000, 40**3, dtype=np.float32).reshape(1, 40, 40, 40)
    assert foreground_threshold(array, "mr") == pytest.approx(20 + 0.1 * 960, abs=1)


@pytest.mark.parametrize("target", [(0.5, 1.0, 0.8), (2.0, 3.0, 1.7)])
def test_resampling_keeps_a_ramp_in_millimeters(target):
    spacing, shape = (1.0, 1.5, 0.8), (30, 24, 40)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = -7, 3, 11
    ramp = np.indices(shape)
    world = [affine[a, a] * ramp[a] + affine[a, 3] for a in range(3)]
    array = (2 * world[0] - world[1] + 3 * world[2])[None].astype(np.float32)
    out, moved = resample(array, affine, spacing, target)
    assert out.shape[1:] == tuple(round(n * s / t) for n, s, t in zip(shape, spacing, target, strict=True))
    new = [moved[a, a] * i + moved[a, 3] for a, i in enumerate(np.indices(out.shape[1:]))]
    inner = (0, *(slice(4, -4),) * 3)
    # a widened triangle shifts by up to a fiftieth of a voxel, a linear interpolation not at all
    tolerance = 1e-3 if max(np.divide(target, spacing)) <= 1 else 0.2
    np.testing.assert_allclose(out[inner], (2 * new[0] - new[1] + 3 * new[2])[inner[1:]], atol=tolerance)
    # the outer border of the first voxel stays where it was
    np.testing.assert_allclose(moved @ [-0.5, -0.5, -0.5, 1], affine @ [-0.5, -0.5, -0.5, 1])


def test_resampling_to_coarse_voxels_averages():
    noise = np.random.default_rng(0).normal(size=(1, 64, 64, 64)).astype(np.float32)
    out, _ = resample(noise, np.eye(4), (1, 1, 1), (4, 4, 4))
    # a triangle filter 8 wide leaves (2 / 3 / 4) of the variance an axis; picking voxels would leave all of it
    assert out.var() == pytest.approx((2 / 3 / 4) ** 3, rel=0.4)


def test_resampling_to_the_same_spacing_changes_nothing():
    array = ct()[None].astype(np.float32)
    out, affine = resample(array, np.eye(4), (1, 1, 2), (1, 1, 2))
    np.testing.assert_array_equal(out, array)
    np.testing.assert_array_equal(affine, np.eye(4))
