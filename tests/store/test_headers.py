"""Headers that other processes read are those that this one reads, in the order of the files."""

import os
import pickle
import signal
from pathlib import Path

import pytest
from files import save_series, series, stored
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.io.dicom import groups
from monai_ssl.io.dicom.groups import group_dicom, read_headers
from monai_ssl.store import PrepareOptions, prepare
from monai_ssl.store.conversion import headers
from monai_ssl.store.conversion.headers import headers_by
from monai_ssl.store.conversion.pool import KILLED, WorkerPool

DEADLY = "deadly.dcm"


class Shuffled:
    """A pool whose jobs end in any order."""

    def __init__(self, order):
        self.order = order

    def run(self, jobs):
        jobs = list(jobs)
        for place in sorted(range(len(jobs)), key=lambda i: self.order[i % len(self.order)]):
            yield jobs[place], [f"{file.name} was read" for file in jobs[place]]


@given(count=st.integers(1, 40), size=st.integers(1, 7), order=st.permutations(range(10)))
def test_what_ends_in_any_order_comes_in_that_of_the_files(count, size, order):
    files = [Path(str(number)) for number in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "_FILES", size)
        patch.setattr(headers, "each_header", lambda files: [f"{file.name} was read" for file in files])
        assert list(headers_by(Shuffled(order), files)) == [f"{file.name} was read" for file in files]


def archive(place):
    """Two series of five slices, and what is no image."""
    for number in range(2):
        datasets = series(stored((5, 8, 6), number), SeriesInstanceUID=f"1.2.{number}", PatientID=f"p{number}")
        save_series(datasets, place / f"p{number}")
    (place / "p0" / "text.dcm").write_text("hello")
    return sorted(path for path in place.rglob("*") if path.is_file())


def read_or_die(files):
    if any(file.name == DEADLY for file in files):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_headers(files)


def as_found(findings):
    groups, rejected = findings
    return sorted(map(repr, groups)), sorted(rejected)


@pytest.mark.slow
def test_other_processes_find_the_same_series(tmp_path, monkeypatch):
    files = archive(tmp_path)
    monkeypatch.setattr(headers, "_FILES", 4)
    pool = WorkerPool(read_headers, 2)
    assert as_found(group_dicom(files, lambda files: headers_by(pool, files))) == as_found(group_dicom(files))


@pytest.mark.slow
def test_a_header_that_kills_its_worker_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    files = archive(tmp_path)
    files[2] = files[2].rename(files[2].with_name(DEADLY))
    monkeypatch.setattr(headers, "_FILES", 4)
    seen = list(headers_by(WorkerPool(read_or_die, 2), files))
    assert seen[2] == KILLED
    assert [one for number, one in enumerate(seen) if number != 2] == read_headers([*files[:2], *files[3:]])


@pytest.mark.slow
def test_prepare_with_workers_reports_what_one_process_does(tmp_path, monkeypatch):
    archive(tmp_path / "src")
    monkeypatch.setattr(headers, "_FILES", 3)
    stores = [prepare(tmp_path / "src", tmp_path / str(n), PrepareOptions(workers=n)).to_dict() for n in (0, 2)]
    for report in stores:
        # keys hold no secret, pseudonyms and the place do
        report.update(store="", prepared=sorted(report["prepared"]))
    assert stores[0] == stores[1] and stores[0]["scans"] == 2 and stores[0]["files"]["left out"] == 1


def test_prepare_hands_headers_to_its_workers_and_says_how_far_they_are(tmp_path, monkeypatch, capsys):
    files = archive(tmp_path / "src")
    monkeypatch.setattr(headers, "_FILES", 3)
    monkeypatch.setattr(headers, "_PATIENCE", 0)
    prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0))
    assert f"headers: 100%|██████████| {len(files)}/{len(files)}" in capsys.readouterr().err


def test_slices_hold_once_what_they_share(tmp_path, monkeypatch):
    """An archive of a hundred thousand scans has tens of millions of slices in memory at a time."""
    files = [path for path in archive(tmp_path) if path.name != "text.dcm"]
    found = []
    monkeypatch.setattr(groups, "split", lambda slices: found.extend(slices) or [])
    # as from another process
    group_dicom(files, lambda files: [pickle.loads(pickle.dumps(seen)) for seen in read_headers(files)])
    assert len(found) == len(files) == 10
    assert all(item.key is file for item, file in zip(found, files, strict=True))
    for name in ("orientation", "spacing", "marks", "moments", "folder"):
        assert len({id(getattr(item, name)) for item in found}) == len({getattr(item, name) for item in found})
