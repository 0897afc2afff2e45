"""Feature tables: windows, labels and scans agree with each other and with the encoder called by hand."""

import json

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from monai_ssl.analysis.cases import Case
from monai_ssl.analysis.image_set import read_case
from monai_ssl.analysis.trained_run import read_run
from monai_ssl.cli import main
from monai_ssl.networks import ConvEncoder, build
from monai_ssl.transfer import ModelCard, export_weights

HU = {"kind": "ct_window", "low": -1000.0, "high": 1000.0}


def exported(folder, dims=3, **more):
    torch.manual_seed(0)
    network = torch.nn.Module()
    network.encoder = ConvEncoder(dims, 1, (2, 4))
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": dims, "in_channels": 1, "widths": [2, 4]}
    card = {"modality": "ct", "intensity": HU, "window_size": (8,) * dims} | more
    export_weights(network, folder / "encoder.safetensors", ModelCard("known", "paper", recipe, **card))
    return folder / "encoder.safetensors", network.encoder.eval()


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Three CT of 16 x 8 x 12 voxels, 1 mm; the label map is 5 in the first window of 8 along x, 2 elsewhere."""
    root = tmp_path_factory.mktemp("data")
    for i in range(3):
        image = np.random.default_rng(i).integers(-900, 900, (16, 8, 12)).astype(np.int16)
        image[0] = -1000
        label = np.full(image.shape, 2, np.uint8)
        label[:8] = 5
        for name, array in (("imagesTr", image), ("labelsTr", label)):
            (root / name).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / name / f"Doe_{i}.nii.gz")
    return root


def table(tmp_path, weights, data, *more, out="features.csv"):
    assert main(["embed", "--weights", str(weights), "--data", str(data), "--out", str(tmp_path / out), *more]) == 0
    return pd.read_csv(tmp_path / out)


def vectors(rows):
    return rows[[name for name in rows if name[0] == "f" and name[1:].isdigit()]].to_numpy()


def test_scans_are_the_mean_of_their_windows_as_the_encoder_gives_them(volumes, tmp_path):
    weights, encoder = exported(tmp_path)
    scans = table(tmp_path, weights, volumes / "imagesTr")
    windows = table(tmp_path, weights, volumes / "imagesTr", "--regions", "window")
    assert list(scans["image"]) == [f"Doe_{i}.nii.gz" for i in range(3)] and scans["patient"].nunique() == 3
    # 12 voxels along z: the last window begins at 4, inside
    assert windows.loc[windows["image"] == "Doe_1.nii.gz", ["x0", "x1", "z0", "z1"]].to_numpy().tolist() == [
        [x, x + 8, z, z + 8] for x in (0, 8) for z in (0, 4)
    ]
    for name, rows in windows.groupby("image"):
        assert vectors(scans[scans["image"] == name])[0] == pytest.approx(vectors(rows).mean(0), rel=1e-5)
    hu = torch.from_numpy(nibabel.load(volumes / "imagesTr" / "Doe_1.nii.gz").get_fdata()).float()
    window = ((hu[8:, :, 4:] + 1000) / 2000)[None, None]
    expected = encoder.pooled(window)[0].detach().numpy()
    assert vectors(windows[windows["image"] == "Doe_1.nii.gz"])[3] == pytest.approx(expected, rel=1e-4)


def test_an_encoder_with_a_head_gives_the_vectors_of_its_head(volumes, tmp_path):
    """SimCLR v2 exports the first layer of its projector with the encoder."""
    torch.manual_seed(0)
    network = torch.nn.Module()
    inner = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [2, 4]}
    recipe = {"_target_": "monai_ssl.networks.HeadedEncoder", "encoder": inner, "dim": 6}
    network.encoder = build(recipe).eval()
    card = ModelCard("known", "paper", recipe, "ct", HU, window_size=(8, 8, 12))
    export_weights(network, tmp_path / "encoder.safetensors", card)
    rows = table(tmp_path, tmp_path / "encoder.safetensors", volumes / "imagesTr", "--regions", "window")
    hu = torch.from_numpy(nibabel.load(volumes / "imagesTr" / "Doe_0.nii.gz").get_fdata()).float()
    expected = network.encoder.pooled(((hu[:8] + 1000) / 2000)[None, None])[0].detach().numpy()
    assert vectors(rows)[0] == pytest.approx(expected, rel=1e-4, abs=1e-6) and expected.shape == (6,)


def test_labels_are_the_mean_over_voxels_of_the_cells_that_they_lie_in(volumes, tmp_path):
    weights, encoder = exported(tmp_path)
    labels = table(tmp_path, weights, volumes, "--regions", "label")
    assert labels[["label", "voxels"]].to_numpy().tolist() == [[2, 768], [5, 768]] * 3
    hu = torch.from_numpy(nibabel.load(volumes / "imagesTr" / "Doe_1.nii.gz").get_fdata()).float()
    dense, count = torch.zeros(4, 16, 8, 12), torch.zeros(16, 8, 12)
    for x, z in ((0, 0), (0, 4), (8, 0), (8, 4)):
        cells = encoder(((hu[x : x + 8, :, z : z + 8] + 1000) / 2000)[None, None])[-1].detach()
        voxels = cells[0].repeat_interleave(2, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)
        dense[:, x : x + 8, :, z : z + 8] += voxels
        count[x : x + 8, :, z : z + 8] += 1
    rows = vectors(labels[labels["image"] == "imagesTr/Doe_1.nii.gz"])
    assert rows[1] == pytest.approx((dense / count)[:, :8].flatten(1).mean(1).numpy(), rel=1e-4)
    assert rows[0] == pytest.approx((dense / count)[:, 8:].flatten(1).mean(1).numpy(), rel=1e-4)


def test_places_and_voxels_are_those_of_the_file_when_the_card_has_another_spacing(volumes, tmp_path):
    weights, _ = exported(tmp_path, spacing=(0.5, 1.0, 1.0))
    windows = table(tmp_path, weights, volumes / "imagesTr", "--regions", "window")
    one = windows[windows["image"] == "Doe_0.nii.gz"]
    assert (
        one["x0"].tolist() == [x for x in (0.0, 4.0, 8.0, 12.0) for _ in range(2)]
        and (one["x1"] - one["x0"] == 4).all()
    )
    labels = table(tmp_path, weights, volumes, "--regions", "label")
    assert labels["voxels"].tolist() == [768] * 6


def test_a_map_that_is_one_label_gives_the_scan(tmp_path):
    weights, _ = exported(tmp_path)
    for name, array in (
        ("imagesTr", np.random.default_rng(0).integers(-900, 900, (16, 8, 8))),
        ("labelsTr", np.ones((16, 8, 8))),
    ):
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), np.eye(4)), tmp_path / name / "a.nii.gz")
    scan = table(tmp_path, weights, tmp_path)
    whole = table(tmp_path, weights, tmp_path, "--regions", "label")
    assert vectors(whole)[0] == pytest.approx(vectors(scan)[0], rel=1e-5)


def test_formats_hold_the_same_and_a_store_gives_the_vectors_of_its_files(volumes, tmp_path):
    weights, _ = exported(tmp_path)
    rows = table(tmp_path, weights, volumes / "imagesTr")
    common = ["embed", "--weights", str(weights), "--out"]
    for out, data in (("a.npy", volumes / "imagesTr"), ("a.parquet", volumes / "imagesTr")):
        assert main([*common, str(tmp_path / out), "--data", str(data)]) == 0
    assert np.load(tmp_path / "a.npy") == pytest.approx(vectors(rows), rel=1e-5)
    assert list(pd.read_csv(tmp_path / "a.rows.csv")["image"]) == list(rows["image"])
    assert vectors(pd.read_parquet(tmp_path / "a.parquet")) == pytest.approx(vectors(rows), rel=1e-5)
    assert main(["prepare", str(volumes / "imagesTr"), str(tmp_path / "store"), "--workers", "0"]) == 0
    stored = table(tmp_path, weights, tmp_path / "store")
    assert np.sort(vectors(stored), axis=0) == pytest.approx(np.sort(vectors(rows), axis=0), rel=1e-5)
    assert not [*tmp_path.glob(".embed-*")] and not stored["image"].str.contains("Doe").any()


def test_an_mr_under_weights_of_ct_keeps_its_contrast_and_is_said(volumes, tmp_path):
    weights, _ = exported(tmp_path)
    (tmp_path / "mr").mkdir()
    mr = np.random.default_rng(0).gamma(2.0, 900.0, (16, 8, 8)).astype(np.int16) + 1001
    nibabel.save(nibabel.Nifti1Image(mr, np.eye(4)), tmp_path / "mr" / "a.nii.gz")
    with pytest.warns(UserWarning, match="1 images are mr, but the weights were trained on ct"):
        table(tmp_path, weights, tmp_path / "mr")
    seen = read_case(Case(tmp_path / "mr" / "a.nii.gz", "a"), read_run(weights)).image
    assert seen.std() > 0.1  # clipped to 1000 it would be one gray


def test_a_scan_that_is_too_thin_or_broken_is_lost_by_name(volumes, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "Doe_0.nii.gz").symlink_to(volumes / "imagesTr" / "Doe_0.nii.gz")
    for name, array in (("thin", np.arange(768).reshape(16, 16, 3)), ("constant", np.zeros((16, 16, 16)))):
        nibabel.save(nibabel.Nifti1Image(array.astype(np.int16), np.eye(4)), data / f"{name}.nii.gz")
    weights, _ = exported(tmp_path)
    how = ["embed", "--weights", str(weights), "--data", str(data), "--out", str(tmp_path / "features.csv")]
    assert main([*how, "--strict"]) == 1, "losses are asked to be a failure"
    said = capsys.readouterr().err
    assert "left out: thin.nii.gz: too thin: 16 x 16 x 3 voxels" in said and "left out: constant.nii.gz: all" in said


def test_pictures_have_two_dimensions_and_what_cannot_be_read_is_left_out(tmp_path, capsys):
    weights, _ = exported(tmp_path, 2, modality="image", intensity={})
    listed = []
    for i in range(2):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (12, 20), np.uint8)).save(tmp_path / f"{i}.png")
        listed.append({"image": f"{i}.png", "label": str(i)})
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "list.json").write_text(json.dumps({"training": listed}))
    rows = table(tmp_path, weights, tmp_path / "list.json")
    assert list(rows["image"]) == ["0.png"] and list(rows["class"]) == [0]
    assert "left out: 1.png: " in capsys.readouterr().err
    again = ["embed", "--weights", str(weights), "--data", str(tmp_path / "list.json"), "--strict", "--out"]
    assert main([*again, str(tmp_path / "b.csv")]) == 1
    assert main([*again, str(tmp_path / "b.txt")]) == 2 and "must end in .csv" in capsys.readouterr().err
    assert main([*again, str(tmp_path / "b.csv"), "--regions", "label"]) == 2
    assert main([*again, str(tmp_path / "b.csv"), "--window", "9", "8"]) == 2
    assert "2 multiples of 2, got [9, 8]; try 8 8" in capsys.readouterr().err
