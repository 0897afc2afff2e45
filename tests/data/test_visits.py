"""Visits: which scans belong together by BIDS and DICOM, in stores made by `prepare`, and windows at one place."""

import json

import numpy as np
import pytest
import torch
from files import MR, series
from files import save as save_dicom
from visits import save, visits_store

from monai_ssl.data import PretrainingScans, PretrainingVisits, Visits
from monai_ssl.store import PrepareOptions, Store, prepare
from monai_ssl.transforms import RandContrastPaird


def prepared(folder, **options):
    prepare(folder / "raw", folder / "store", PrepareOptions(workers=0, **options))
    return Store(folder / "store")


def grouped(store):
    """Of each visit, the sums of its scans."""
    return sorted(sorted(round(float(scan.raw().mean())) for scan in visit.scans) for visit in Visits(store.select()))


def around(value):
    return np.random.default_rng(value).uniform(value - 0.5, value + 0.5, (12, 10, 9)).astype(np.float32)


def test_sessions_of_bids_by_entities(tmp_path):
    """Patients, sessions and spaces apart; other names, another grid or no second contrast make no visit."""
    turned = np.array([[0.9, -0.4, 0, 0], [0.4, 0.9, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for path, value in {
        "sub-1/ses-1/anat/sub-1_ses-1_T1w": 10,
        "sub-1/ses-1/anat/sub-1_ses-1_FLAIR": 11,
        "sub-1/ses-2/anat/sub-1_ses-2_T1w": 20,
        "sub-2/anat/sub-2_T1w": 30,
        "sub-2/anat/sub-2_T2w": 31,
        "sub-2/anat/sub-2_space-MNI_T1w": 32,
        "sub-2/anat/sub-2_space-MNI_T2w": 33,
        "sub-3/anat/sub-3_T1w": 40,
        "other/t1": 50,
        "other/t2": 51,
    }.items():
        save(around(value), tmp_path / "raw" / f"{path}.nii.gz")
    save(around(41), tmp_path / "raw/sub-3/anat/sub-3_T2w.nii.gz", turned)
    store = prepared(tmp_path)
    assert grouped(store) == [[10, 11], [30, 31], [32, 33]]
    text = (tmp_path / "store/manifest.json").read_text()
    assert "ses-1" not in text and "sub-" not in text and "MNI" not in text, "pseudonyms only"


def test_sessions_of_dicom_by_study_and_frame_of_reference(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (8, 10, 12)).astype(np.uint16)
    for number, (study, frame) in enumerate(
        [("1.2", "1.7"), ("1.2", "1.7"), ("1.2", "1.8"), ("1.3", "1.7"), ("1.2", "")]
    ):
        tags = {"sop_class": MR, "StudyInstanceUID": study, "SeriesInstanceUID": f"1.9.{number}"}
        if frame:
            tags["FrameOfReferenceUID"] = frame
        for n, ds in enumerate(series(pixels + 100 * number, **tags)):
            save_dicom(ds, tmp_path / "raw" / str(number) / f"{n}.dcm")
    (visit,) = Visits(prepared(tmp_path).select())
    means = sorted(float(scan.raw().mean()) for scan in visit.scans)
    assert means[1] - means[0] == pytest.approx(100)


def test_volumes_of_a_file_are_a_visit_and_stores_prepared_before_learn_their_sessions(tmp_path):
    g = np.random.default_rng(0)
    save(g.random((12, 10, 9, 3), np.float32), tmp_path / "raw/case1.nii.gz")
    (visit,) = Visits(prepared(tmp_path, four_d="split").select())
    assert len(visit.scans) == 3
    for record in (tmp_path / "store/scans").glob("*/*.json"):
        text = record.read_text()
        assert '"session"' in text

        old = {k: v for k, v in json.loads(text).items() if k not in ("session", "frame")}
        record.write_text(json.dumps(old))
    assert len(Visits(prepared(tmp_path, four_d="split").select())) == 1


def test_windows_lie_at_one_place_whatever_the_voxels(tmp_path):
    """Of scans that hold their own coordinates in millimeters, at other spacings, origins and sizes."""
    affines = [np.diag([1.0, 1, 1, 1]), np.diag([2.0, 1, 0.5, 1])]
    affines[1][:3, 3] = [-3.5, 2, 0.25]
    for name, affine, shape in zip(("T1w", "T2w"), affines, ((40, 36, 32), (24, 30, 60)), strict=True):
        index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
        place = index @ affine[:3, :3].T + affine[:3, 3]
        save((place @ [1.0, 100.0, 10000.0]).astype(np.float32), tmp_path / f"raw/sub-1/sub-1_{name}.nii.gz", affine)
    (visit,) = Visits(prepared(tmp_path, modality="mr").select())
    for start, size in (([10, 8, 6], [8, 4, 10]), ([4, 12, 2], [16, 8, 16])):
        centers = []
        for number, scan in enumerate(visit.scans):
            begin, extent = visit.box(number, np.array(start), np.array(size))
            center = begin + extent / 2 - 0.5
            centers.append(scan.affine[:3, :3] @ center + scan.affine[:3, 3])
            length = extent * np.diagonal(scan.affine)[:3]
            assert (np.abs(length - np.array(size) * np.diagonal(visit.scans[0].affine)[:3]) <= 2.01).all()
        assert (np.abs(centers[0] - centers[1]) <= 1.01).all(), "half a voxel of either grid"


def test_a_pair_is_cut_from_both_contrasts_and_never_twice_from_one():
    visits = Visits(Store(visits_store()).select())
    crop, orders = RandContrastPaird("image", (8, 8, 8), margin="body", params_key="cut").set_random_state(0), set()
    for _ in range(12):
        out = crop({"image": visits[1]})
        start, size = out["cut"]["start"], out["cut"]["size"]
        where = (slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)))
        for view, number in zip((out["view1"], out["view2"]), out["cut"]["scans"], strict=True):
            torch.testing.assert_close(view, torch.from_numpy(visits[1].scans[number][where].copy()))
        orders.add(tuple(out["cut"]["scans"].tolist()))
    assert orders == {(0, 1), (1, 0)}


def test_a_store_without_visits_is_refused(store, tmp_path):
    with pytest.raises(ValueError, match=r"No session has two co-registered scans.*BIDS"):
        PretrainingVisits(PretrainingScans(store, tmp_path, 3))
    visits = PretrainingVisits(PretrainingScans(visits_store(), tmp_path, 3, validation=0.25))
    assert (len(visits.train), len(visits.validation), visits.facts()["scans"]) == (3, 1, 6)
