"""What an analysis may be shown: stores, trees, lists and tables, in 2-D and 3-D, without a name of a patient."""

import json

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from monai_ssl.analysis.boxes import boxes_in, read_boxes
from monai_ssl.analysis.cases import list_cases
from monai_ssl.analysis.image_set import read_images
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.networks import ConvEncoder
from monai_ssl.store.prepare import PrepareOptions, prepare
from monai_ssl.transfer import ModelCard

WINDOW = {"kind": "ct_window", "low": -1000.0, "high": 1000.0}


def run_of(dims, tmp_path, **more):
    card = ModelCard("known", "paper", {}, "ct", WINDOW if dims == 3 else {}, **more)
    return TrainedRun(tmp_path, card, ConvEncoder(dims, 1, (2, 4, 8)), ConvEncoder(dims, 1, (2, 4, 8)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve pictures in two folders, in one with a bright block at columns 8 to 16, rows 4 to 10."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 40, (30, 50), dtype=np.uint8)
        pixels[4:10, 8:16] += 150 * (i % 2)
        path = root / ("absent", "present")[i % 2] / f"Doe_Jane_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Four volumes of 2 x 1 x 1 mm with label maps."""
    root = tmp_path_factory.mktemp("data") / "volumes"
    for i in range(4):
        image = np.random.default_rng(i).integers(-900, 900, (16, 24, 20)).astype(np.int16)
        label = np.zeros(image.shape, np.uint8)
        label[2:6, 8:12, 4:9] = 3
        for name, array in (("imagesTr", image), ("labelsTr", label)):
            (root / name).mkdir(parents=True, exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 1, 1, 1])), root / name / f"Doe_{i}.nii.gz")
    return root


def test_class_folders_tables_and_probe_lists_are_the_same_images(pictures, tmp_path):
    files = sorted(pictures.glob("*/*.png"))
    rows = [f"{p},{p.parent.name},p{i // 2}" for i, p in enumerate(files)]
    (tmp_path / "list.csv").write_text("image,label,patient\n" + "\n".join(rows))
    probe = [{"image": str(p), "label": int(p.parent.name == "present"), "group": i // 2} for i, p in enumerate(files)]
    (tmp_path / "probe.json").write_text(json.dumps(probe))
    run = run_of(2, tmp_path)
    found = [
        read_images(list_cases(p, 2, tmp_path), run) for p in (pictures, tmp_path / "list.csv", tmp_path / "probe.json")
    ]
    for shown in found:
        assert shown.size == (48, 32) and torch.equal(shown.images, found[0].images) and shown.images.shape[1] == 1
        assert torch.bincount(shown.classes).tolist() == [6, 6] and shown.images.amax() <= 1
    assert found[0].names == ("absent", "present") and found[2].names == ("0", "1")
    assert [len(shown.patients.unique()) for shown in found] == [12, 6, 6]
    bright = found[0].images[found[0].classes == 1].mean((0, 1))
    assert bright[9:14, 5:9].min() > 2 * bright[20:].max()


def test_volumes_from_lists_and_stores_are_windowed_by_the_card_and_keep_its_spacing(volumes, tmp_path):
    listed = [
        {"image": f"imagesTr/Doe_{i}.nii.gz", "label": f"labelsTr/Doe_{i}.nii.gz", "patient": str(i // 2)}
        for i in range(4)
    ]
    (volumes / "mine.json").write_text(json.dumps({"training": listed}))
    prepare(volumes / "imagesTr", tmp_path / "store", PrepareOptions())
    run = run_of(3, tmp_path)
    folders, named, store, tree = (
        read_images(list_cases(data, 3, tmp_path / "out"), run)
        for data in (volumes, volumes / "mine.json", tmp_path / "store", volumes / "imagesTr")
    )
    image = nibabel.load(volumes / "imagesTr/Doe_0.nii.gz").get_fdata()
    torch.testing.assert_close(folders.images[0, 0], torch.from_numpy((image + 1000) / 2000).float())
    assert torch.equal(folders.images, named.images) and len(named.patients.unique()) == 2
    assert (folders.masks == 3).sum((1, 2, 3)).tolist() == [80] * 4
    ordered = folders.images.sum((1, 2, 3, 4)).sort().values
    for shown in (store, tree):
        assert shown.masks is None and shown.classes is None and shown.size == (16, 24, 20)
        torch.testing.assert_close(shown.images.sum((1, 2, 3, 4)).sort().values, ordered)
    fine = read_images(list_cases(volumes, 3, tmp_path), run_of(3, tmp_path, spacing=(1.0, 1.0, 1.0)))
    assert fine.size == (32, 24, 20)
    boxes, names = boxes_in(fine, None)
    assert boxes[0].tolist() == [[4, 8, 4, 12, 12, 9]] and names[0] == ["label 3"]


def test_boxes_follow_their_image_when_it_is_resized(pictures, tmp_path):
    marked = sorted((pictures / "present").glob("*.png"))
    lines = [f"{p},present,8,4,16,10" for p in marked]
    (tmp_path / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n" + "\n".join(lines))
    listed = read_boxes(tmp_path / "boxes.csv", 2)
    shown = read_images(listed.cases, run_of(2, tmp_path), size=(100, 60), limit=3)
    boxes, names = boxes_in(shown, listed.findings)
    assert len(shown) == 3 and shown.left_out == 3 and names == [["present"]] * 3
    for image, box in zip(shown.images, boxes, strict=True):
        assert box.tolist() == [[16, 8, 32, 20]]
        assert image[0, 17:31, 9:19].min() > 0.3 > image[0, 40:].max()


def test_nothing_that_is_said_of_the_data_names_a_patient_or_a_file(pictures, volumes, tmp_path):
    for data, dims in ((pictures, 2), (volumes, 3)):
        shown = read_images(list_cases(data, dims, tmp_path), run_of(dims, tmp_path))
        assert "Doe" not in shown.described() and f"{len(shown)} images" in shown.described()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,x0,y0,x1\na.png,1,2,3",
            "needs rows with the columns image, x0, y0, x1, y1 for 2-D images; y1 is missing",
        ),
        ("image,x0,y0,x1,y1\nnone.png,1,2,3,4", "names none.png, which does not exist beside it"),
        ("image,x0,y0,x1,y1\nnone.png,1,2,three,4", "Line 2 of .* has a corner that is no number"),
        ("image,x0,y0,x1,y1\nnone.png,5,2,3,4", "Line 2 of .* has an empty box"),
        ("", "image, x0, y0, x1, y1 is missing"),
    ],
)
def test_a_damaged_table_of_boxes_is_refused_in_a_sentence(content, message, tmp_path):
    (tmp_path / "boxes.csv").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_boxes(tmp_path / "boxes.csv", 2)


def test_data_that_does_not_fit_is_refused_in_a_sentence(pictures, volumes, tmp_path):
    with pytest.raises(ValueError, match=r"The run is 3-D, but the data holds an image of 2 dimensions: give volumes"):
        read_images(list_cases(pictures, 3, tmp_path), run_of(3, tmp_path))
    with pytest.raises(ValueError, match=r"`size` must be 2 multiples of 4.* got \[30, 32\], try \[32, 32\]"):
        read_images(list_cases(pictures, 2, tmp_path), run_of(2, tmp_path), size=(30, 32))
    (tmp_path / "list.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        list_cases(tmp_path / "list.json", 2, tmp_path)
    with pytest.raises(FileNotFoundError, match="There is no data"):
        list_cases(tmp_path / "nowhere", 2, tmp_path)
