"""Scans of a store that are damaged while a run reads them."""

import os
import signal

import nibabel
import numpy as np
import pytest
from monai.transforms import Transform

from monai_ssl.data import PretrainingScans
from monai_ssl.data.windows import WindowDataset, endless_loader
from monai_ssl.errors import sentence_of
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.store import PrepareOptions, Store, prepare
from monai_ssl.transforms import RandWindowCropd


@pytest.fixture
def scans(tmp_path):
    write_phantom_cohort(tmp_path / "raw", patients=2, shape=(32, 32, 32))
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(workers=0))
    return list(Store(tmp_path / "store").select(spatial_dims=3))


class CutShort(Transform):
    """Truncates a scan before the third sample that a process reads, whose signal may end it."""

    def __init__(self, scan, number=None):
        self.scan, self.number, self.seen = scan, number, 0

    def __call__(self, sample):
        self.seen += 1
        if self.seen == 3:
            if self.scan is not None:
                os.truncate(self.scan.path, 5000)
            if self.number is not None:
                # as by a window that was being read meanwhile
                os.kill(os.getpid(), self.number)
        return sample


def batches(scans, crops, workers):
    loader = iter(endless_loader(WindowDataset(scans, crops, windows_per_scan=4), 2, workers))
    return [next(loader) for _ in range(6)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_scan_that_is_cut_short_is_named(scans, workers):
    # both are open
    assert all(scan[:].any() for scan in scans)
    crops = [CutShort(scans[1]), RandWindowCropd("image", (8, 8, 8), background=None)]
    with pytest.raises(ValueError, match=f"Scan {scans[1].key} of the store was cut short, to 5000 of") as caught:
        batches(scans, crops, workers)
    said = sentence_of(caught.value)
    assert said.startswith(f"Scan {scans[1].key} of the store was cut short") and "--resume true" in said
    # prepared again it is whole
    prepare(scans[1].path.parents[3] / "raw", scans[1].path.parents[2], PrepareOptions(workers=0))
    assert scans[1][:].shape == scans[1].shape


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGBUS, "scan {key} was cut short"), (signal.SIGKILL, "memory")]
)
def test_the_death_of_a_process_that_reads_is_explained(scans, number, reason):
    victim = CutShort(scans[1] if number == signal.SIGBUS else None, number)
    with pytest.raises(ValueError, match=r"DataLoader worker .*(killed by signal|exited)") as caught:
        batches(scans, [victim], 1)
    assert reason.format(key=scans[1].key) in sentence_of(caught.value)


def test_a_scan_that_was_removed_is_read_to_the_end_through_its_open_map(scans):
    before = scans[0][:].copy()
    scans[0].path.unlink()
    assert (scans[0][:] == before).all() and scans[0].damage().startswith("cannot be read")


def test_thin_scans_alone_are_said_to_be_thin(tmp_path):
    (tmp_path / "raw").mkdir()
    hu = np.random.default_rng(0).integers(-1000, 1000, (32, 32, 4)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, np.eye(4)), tmp_path / "raw" / "p1.nii.gz")
    prepare(tmp_path / "raw", tmp_path / "store", PrepareOptions(workers=0))
    with pytest.raises(ValueError, match="are thinner than 8 voxels"):
        PretrainingScans(tmp_path / "store", tmp_path / "out", 3)
