"""What one can prepare, one can infer, probe, segment and classify: every ending of the table, through every list."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from files import XRAY, dicom, save, stored
from monai.transforms import LoadImage
from PIL import Image

from monai_ssl.cli.main import main
from monai_ssl.data import LabeledImages
from monai_ssl.io import discover, read
from monai_ssl.io.formats import FORMATS
from monai_ssl.io.grid import grid_of, stored_grid
from monai_ssl.io.listing import images_in
from monai_ssl.io.patient_hints import Place, patient_hints
from monai_ssl.io.volume import ReadError
from monai_ssl.store import PrepareOptions, prepare
from monai_ssl.tasks import Classification, Segmentation

ENDINGS = [(entry, ending) for entry in FORMATS for ending in entry.endings]
DOCS = Path(__file__).parents[2] / "docs" / "data.md"


def by_nibabel(kind):
    return lambda path, array: nib.save(kind(array, np.diag([1.0, 1, 2, 1])), path)


def by_itk(path, array):
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.image_from_array(array), path)


PATIENTS = {"p0": "patient-0", "p1": "patient-1"}
WRITERS = {
    "dicom": lambda path, array: save(
        dicom(array[0].astype(np.uint16), XRAY, PatientID=PATIENTS.get(path.name[:2], "patient-7")), path
    ),
    "nifti": by_nibabel(nib.Nifti1Image),
    "pair": by_nibabel(nib.Nifti1Pair),
    "mgh": by_nibabel(nib.MGHImage),
    "nrrd": by_itk,
    "metaimage": by_itk,
    "image": lambda path, array: Image.fromarray(array[0].astype(np.uint8)).save(path),
}


def write(entry, path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = WRITERS["pair" if ".hdr" in path.name else entry.kind]
    writer(path, stored((6, 10, 12), seed, 900).astype(np.int16))
    return path


@pytest.mark.parametrize(("entry", "ending"), ENDINGS, ids=[ending for _, ending in ENDINGS])
def test_every_ending_in_every_list(entry, ending, tmp_path):
    src, tasks, classes = tmp_path / "src", tmp_path / "tasks", tmp_path / "classes"
    image = write(entry, src / f"t1{ending}")
    write(entry, src / f"t1_seg{ending}", seed=1)
    (found, _), rejected = discover(src)
    assert (found.name, found.kind, rejected) == (image.name, entry.kind, [])
    of_header, of_voxels = grid_of(found), stored_grid(read(found)[0])
    assert of_header.shape == of_voxels.shape and np.allclose(of_header.affine, of_voxels.affine, atol=1e-5)
    report = prepare(src, tmp_path / "store", PrepareOptions(workers=0))
    assert len(report.prepared) == 1 and not report.failed
    ((left_out, reason),) = report.left_out
    assert left_out == f"t1_seg{ending}" and "label map by its name" in reason
    assert sum(report.files.values()) == len([*src.iterdir()]) == 2 * len(found.files)
    assert images_in(src) == images_in(image) == [str(image)]
    load = LoadImage(reader="monai_ssl.io.monai_reader.ScanReader", dtype=None, ensure_channel_first=True)
    assert load(str(image)).shape == read(found)[0].array.shape
    (src / "probe.json").write_text(f'[{{"image": "{image.name}", "label": 1}}]')
    assert LabeledImages(src / "probe.json", (8,) * (read(found)[0].array.ndim - 1))[0]["label"] == 1
    for number in range(2):
        write(entry, tasks / "imagesTr" / f"p{number}{ending}")
        write(entry, tasks / "labelsTr" / f"p{number}{ending}")
        write(entry, classes / "ill" / f"p{number}{ending}")
        write(entry, classes / "ill" / f"p{number}_mask{ending}")
    (case,) = Segmentation({"lung": 1}).cases("training", tasks)
    assert Path(case["image"]).name == Path(case["label"]).name in (f"p0{ending}", f"p1{ending}")
    both = [case for s in ("training", "validation") for case in Classification(["ill"]).cases(s, classes)]
    assert sorted(Path(case["image"]).name for case in both) == [f"p0{ending}", f"p1{ending}"]


@pytest.mark.parametrize(("entry", "ending"), ENDINGS, ids=[ending for _, ending in ENDINGS])
def test_names_in_capitals_and_hints_of_patients(entry, ending, tmp_path):
    write(entry, tmp_path / f"pt_3_t1{ending}").rename(tmp_path / f"PT_3_T1{ending}".upper())
    if ".hdr" in ending:
        (data,) = tmp_path.glob("*.img*")
        data.rename(data.with_name(data.name.upper()))
    ((source,), rejected) = discover(tmp_path)
    assert (
        not rejected
        and read(source)[0].array.size
        and source.patient_hint == {"dicom": "patient-7"}.get(entry.kind, "PT_3")
    )
    folder = ending[1:]
    found = patient_hints([Place(f"{folder}/a{ending}"), Place(f"{folder}/b{ending}")], "root")
    assert [hint.patient for hint in found] == ["a", "b"]


def test_messages_and_docs_name_every_format(tmp_path, capsys):
    with pytest.raises(ReadError) as listed:
        images_in(tmp_path)
    with pytest.raises(ValueError, match="holds no image that can be read") as prepared:
        prepare(tmp_path, tmp_path / "store")
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    helped = " ".join(capsys.readouterr().out.split())
    rows = re.findall(r"^\| (.+?) \| (`\..+?) \|(.*)\|$", DOCS.read_text(), re.MULTILINE)
    assert [(entry.title, set(entry.endings)) for entry in FORMATS] == [
        (title, set(re.findall(r"`(.+?)`", endings))) for title, endings, _ in rows
    ]
    for entry, (_, _, needs) in zip(FORMATS, rows, strict=True):
        assert all(entry.title in text for text in (str(listed.value), str(prepared.value), helped))
        assert (entry.extra is None) == (not needs.strip()) and (entry.extra or "") in needs
