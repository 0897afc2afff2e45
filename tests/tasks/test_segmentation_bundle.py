"""The segmentation bundle with whole images at one size, and with regions that lie in each other."""

import json

import numpy as np
import pytest
import torch
from downstream_runs import options, train_options, workflow
from monai.transforms import LoadImage
from PIL import Image

from monai_ssl.io.monai_reader import ScanReader

pytestmark = pytest.mark.bundle
FLAT = {"in_channels": 3, "modality": "xray"}


def read(path):
    return np.squeeze(LoadImage(reader=ScanReader, image_only=True)(str(path)).numpy())


@pytest.fixture(scope="module")
def radiographs(tmp_path_factory):
    """A bright disk on noise, each picture of another size."""
    root, rng = tmp_path_factory.mktemp("radiographs"), np.random.default_rng(0)
    for i in range(8):
        height, width = (int(n) for n in rng.integers(50, 120, 2))
        y, x = np.mgrid[:height, :width]
        disk = (y / height - 0.5) ** 2 + (x / width - 0.4) ** 2 < 0.08
        section = "Ts" if i > 5 else "Tr"
        for name, array in (("images", rng.integers(0, 60, disk.shape) + 150 * disk), ("labels", disk)):
            (root / f"{name}{section}").mkdir(exist_ok=True)
            Image.fromarray(array.astype(np.uint8)).save(root / f"{name}{section}" / f"{i}.png")
    return root


def test_whole_images_are_resized_and_scored_and_written_at_the_size_of_their_files(tmp_path, radiographs):
    """What evaluation says is the Dice of what inference writes, with nothing about sizes typed again."""
    asked = {"labels": {"disk": 1}, "image_size": [32, 32], "scheme": "probe", "batch_size": 6, **FLAT}
    asked |= {"augmentation": None, "ckpt_dir": str(tmp_path), "dataset_dir": str(radiographs)}
    train = workflow("segmentation", **train_options("segmentation", tmp_path, **asked))
    batch = next(iter(train.parser.get_parsed_content("train#dataloader")))
    assert batch["image"].shape == (5, 3, 32, 32) and batch["label"].shape == (5, 1, 32, 32)
    whole = batch["image"][:, :1][batch["label"] > 0].mean() - batch["image"][:, :1][batch["label"] == 0].mean()
    assert whole > 0.5, "each batch is of whole images, disk and label in the same place"
    train.run()
    described = json.loads((tmp_path / "model.json").read_text())
    assert described["network"]["image_size"] == [32, 32]

    told = {"dataset_dir": str(radiographs), "checkpoint": str(tmp_path / "model.pt")}
    tested = workflow("segmentation", ["train", "evaluate"], **options("segmentation", tmp_path, **told))
    tested.run()
    dices = tested.parser.get_parsed_content("validate#evaluator").state.metric_details["val_mean_dice"]
    told["dataset_dir"] = str(radiographs / "imagesTs")
    workflow("segmentation", "inference", "infer", **options("segmentation", tmp_path / "found", **told)).run()
    for i, dice in zip((6, 7), dices, strict=True):
        found, truth = read(tmp_path / "found" / f"{i}_seg.nii.gz"), read(radiographs / "labelsTs" / f"{i}.png")
        assert found.shape == truth.shape
        assert float(dice) == pytest.approx(2 * (found * truth).sum() / (found.sum() + truth.sum()), abs=1e-6)
        assert dice > 0.6
    assert not torch.equal(dices[0], dices[1])
