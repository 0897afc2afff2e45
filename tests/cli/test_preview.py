"""``python -m monai_ssl preview``."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ssl.bundle_folders import bundle_folder, config_file
from monai_ssl.cli import main
from monai_ssl.cli.preview import parse_overrides
from monai_ssl.cli.preview_sheet import columns_of, draw_sheet, gray_window, images_of, mosaic, picture, row_names

SAMPLES = (
    "$[{'view1': torch.rand(1, *@roi_size), 'view2': torch.rand(1, *@roi_size), 'scan': 'PATIENT-%d' % i, "
    "'locals': [torch.rand(1, 8, 8, 8) for _ in range(3)], 'label': i} for i in range(3)]"
)


def transform(name, **arguments):
    return {"_target_": f"monai_ssl.transforms.{name}", **arguments}


@pytest.fixture
def bundle(tmp_path):
    views = [
        transform("Snapshotd", keys=["view1", "view2"], names=["target1", "target2"]),
        transform("RandGaussianNoiseBatchd", keys=["view1"], std=["@noise", "@noise"]),
        transform("ZScored", keys="view2"),
    ]
    config = {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "roi_size": [20, 16, 12],
        "noise": 0.1,
        "seed": 1,
        "train": {"dataset": SAMPLES},
        "views": {"_target_": "monai_ssl.transforms.BatchViews", "transforms": views},
    }
    path = tmp_path / "bundle" / "configs" / "pretrain.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(config))
    return path


def preview(bundle, out, *more):
    return main(["preview", "--config_file", str(bundle), "--out", str(out), *more])


def test_writes_a_sheet_and_says_the_ranges(bundle, tmp_path, capsys):
    out = tmp_path / "new" / "sheet.png"
    assert preview(bundle, out) == 0
    said = capsys.readouterr().out
    assert f"Written: {out}" in said and "ms a sample" in said
    rows = {line.split()[0]: line for line in said.splitlines()}
    assert list(rows)[:5] == ["view1", "target1", "view2", "target2", "locals"]
    assert "(3, 1, 20, 16, 12)" in rows["view1"] and "(9, 1, 8, 8, 8)" in rows["locals"]
    assert "0.000, deviation  1.000" in rows["view2"]
    with Image.open(out) as sheet:
        assert sheet.width > 900 and sheet.height > 400
        assert not sheet.info.get("Software") and "PATIENT" not in str(sheet.info)
    assert b"PATIENT" not in out.read_bytes() and "PATIENT" not in said


def test_overrides_change_the_bundle(bundle, tmp_path, capsys):
    assert preview(bundle, tmp_path / "a.png", "--roi_size", "[18, 18, 18]", "--samples", "2") == 0
    assert "(2, 1, 18, 18, 18)" in capsys.readouterr().out
    assert preview(bundle, tmp_path / "a.png", "--noise=0.0", "--views#transforms#2#keys", "view1") == 0
    assert "view1        (3, 1, 20, 16, 12)         -1." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--nois", "1"], "The bundle has no `nois` to override. Did you mean `noise`?"),
        (["--noise"], "look like `--key value`, got '--noise'"),
        (["stray", "3"], "look like `--key value`, got 'stray'"),
        (["--samples", "0"], "`--samples` must be at least 1, got 0"),
        (["--views", "None"], "The bundle has no `views`, so there is nothing to preview"),
        (["--noise", "-1"], "`std` must be at least 0, got [-1, -1]"),
        (["--train", "{}"], "The bundle has no `train#dataset`, so there is nothing to preview"),
    ],
)
def test_mistakes_are_told_in_a_sentence(bundle, tmp_path, capsys, more, message):
    assert preview(bundle, tmp_path / "a.png", *more) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "a.png").exists()


def test_the_settings_for_two_cores_are_laid_over_the_usual_ones(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("monai_ssl.cli.preview.read_bundle", lambda configs, overrides: seen.append(configs) or 1 / 0)
    for command in ("preview", "benchmark"):
        for options, names in ([], ["pretrain"]), (["--config", "cpu"], ["pretrain", "cpu"]):
            with pytest.raises(ZeroDivisionError):
                main([command, "--bundle", "simclr", *options])
            assert [path.stem for path in seen.pop()] == names
    assert main(["preview", "--bundle", "simclr", "--config", "nosuch", "--out", str(tmp_path / "a.png")]) == 2


def test_missing_bundle(tmp_path, capsys):
    assert preview(tmp_path / "none.json", tmp_path / "a.png") == 2
    assert "none.json does not exist" in capsys.readouterr().err


def test_the_root_of_the_bundle_is_found(bundle, tmp_path):
    from monai_ssl.cli.preview import read_bundle

    assert read_bundle([bundle], {})["bundle_root"] == str(bundle.parents[1])
    assert read_bundle([bundle], {"bundle_root": "x"})["bundle_root"] == "x"


def test_override_values_are_read_as_monai_reads_them():
    words = ["--lr", "1e-3", "--a#b=[1, 2]", "--path", "/data/x", "--text=a=b", "--on", "True", "--no", "None"]
    expected = {"lr": 1e-3, "a#b": [1, 2], "path": "/data/x", "text": "a=b", "on": True, "no": None}
    assert parse_overrides(words) == expected


def test_a_sign_in_a_path_is_part_of_it():
    from monai_ssl.cli.preview import read_bundle

    given = parse_overrides(["--dataset_dir", "store #3"])
    assert given == {"dataset_dir": "store #3"}
    config = config_file(bundle_folder("simclr"), "pretrain")
    assert read_bundle([config], given).get_parsed_content("dataset_dir") == "store #3"


def test_targets_stand_beside_their_views():
    image = torch.rand(2, 1, 8, 8)
    batch = {"view1": image, "view2": image, "locals": image, "label": torch.tensor([0, 1]), "target1": image}
    assert list(images_of(batch)) == ["view1", "target1", "view2", "locals"]


def test_planes_are_upright():
    """In RAS the patient's right, the front and the head lie at the high ends of the axes."""
    volume = torch.zeros(1, 6, 8, 10)
    volume[:, -1, 4, :] = 1  # right
    assert picture(volume, "axial")[:, 0].any() and not picture(volume, "axial")[:, 1:].any()
    assert picture(volume, "coronal")[:, 0].all()
    volume = torch.zeros(1, 6, 8, 10)
    volume[:, 3, :, -1] = 1  # head
    assert picture(volume, "coronal")[0].any() and not picture(volume, "coronal")[1:].any()
    assert picture(volume, "sagittal").shape == (10, 8) and picture(volume, "sagittal")[0].all()
    volume = torch.zeros(1, 6, 8, 10)
    volume[:, 3, -1, 5] = 1  # front
    assert picture(volume, "axial")[0].any() and picture(volume, "sagittal")[:, 0].any()


def test_flat_images_keep_column_and_row():
    gray, color = torch.rand(1, 6, 8), torch.rand(3, 6, 8)
    np.testing.assert_array_equal(picture(gray, ""), gray[0].numpy().T)
    assert picture(color, "").shape == (8, 6, 3) and picture(color, "")[5, 2, 1] == color[1, 2, 5]


def test_window():
    assert gray_window(torch.rand(2, 1, 9, 9)) == (0.0, 1.0)
    low, high = gray_window(torch.randn(2, 1, 99, 99, generator=torch.Generator().manual_seed(0)))
    assert low == pytest.approx(-2.33, abs=0.1) and high == pytest.approx(2.33, abs=0.1)
    low, high = gray_window(torch.full((1, 1, 4, 4), 7.0))
    assert low < high


def test_mosaic_holds_every_picture():
    pictures = [np.full((4, 6), value, np.float32) for value in (0.1, 0.2, 0.3, 0.4, 0.5)]
    sheet = mosaic(pictures)
    assert sheet.shape == (9, 20)
    assert [(sheet == p[0, 0]).sum() for p in pictures] == [24] * 5
    assert mosaic(pictures[:1]) is pictures[0]


def test_columns_and_labels(tmp_path):
    batch = {"view1": torch.rand(2, 3, 8, 8), "locals": torch.rand(8, 3, 4, 4), "label": torch.tensor([0.0, 1.5])}
    view, small = columns_of(batch)
    assert view.title.startswith("view1") and len(view.pictures) == len(small.pictures) == 2
    np.testing.assert_array_equal(small.pictures[1][:4, :4], picture(batch["locals"][4], ""))
    assert row_names(batch, 2) == ["sample 1\nlabel 0", "sample 2\nlabel 1.5"]
    draw_sheet(batch, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_several_images_of_a_labeled_sample_share_its_row():
    """Shuffled cells without any other image: the labels say how many samples there are."""
    batch = {"cells": torch.rand(18, 1, 8, 8), "label": torch.tensor([7, 3])}
    (cells,) = columns_of(batch)
    assert [p.shape for p in cells.pictures] == [(26, 26)] * 2
    assert row_names(batch, len(cells.pictures)) == ["sample 1\nlabel 7", "sample 2\nlabel 3"]


def test_patches_alone_are_shown_by_scan():
    (patches,) = columns_of({"patches": torch.rand(18, 1, 8, 8), "scan": ["a", "b"]})
    assert [p.shape for p in patches.pictures] == [(26, 26)] * 2


def test_a_batch_without_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match="made no image to look at, only label"):
        draw_sheet({"label": torch.tensor([1])}, tmp_path / "a.png")


def test_answers_about_each_of_several_images_are_written_as_digits():
    turns = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 1]]]).bool()
    batch = {"cells": torch.rand(4, 1, 8, 8), "label": torch.tensor([7, 3]), "turns": turns}
    batch["masked"] = torch.tensor([True, False, False, True])
    assert row_names(batch, 2) == [
        "sample 1\nlabel 7\nturns 10 00\nmasked 1 0",
        "sample 2\nlabel 3\nturns 11 01\nmasked 0 1",
    ]
