"""The segmentation bundle with whole images at one size, and with regions that lie in each other."""

import json

import numpy as np
import pytest
import torch
from downstream_runs import options, segmentation, train_options, workflow, write_volumes
from hypothesis import given
from hypothesis import strategies as st
from monai.losses import DiceLoss
from monai.transforms import LoadImage
from PIL import Image

from monai_ssl.evaluation import recollect_bn
from monai_ssl.io.monai_reader import ScanReader
from monai_ssl.tasks import DecodeRegionsd, EncodeLabelsd, EncodeRegionsd
from monai_ssl.tasks.regions import Regions

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
    """What evaluation says is the overlap of what inference writes; neither sizes nor the metric are typed again."""
    asked = {"labels": {"disk": 1}, "image_size": [32, 32], "scheme": "probe", "batch_size": 6, "metric": "iou", **FLAT}
    asked |= {"augmentation": None, "ckpt_dir": str(tmp_path), "dataset_dir": str(radiographs)}
    train = workflow("segmentation", **train_options("segmentation", tmp_path, **asked))
    batch = next(iter(train.parser.get_parsed_content("train#dataloader")))
    assert batch["image"].shape == (5, 3, 32, 32) and batch["label"].shape == (5, 1, 32, 32)
    whole = batch["image"][:, :1][batch["label"] > 0].mean() - batch["image"][:, :1][batch["label"] == 0].mean()
    assert whole > 0.5, "each batch is of whole images, disk and label in the same place"
    train.run()
    described = json.loads((tmp_path / "model.json").read_text())
    assert described["network"]["image_size"] == [32, 32] and described["metric"] == "iou"

    told = {"dataset_dir": str(radiographs), "checkpoint": str(tmp_path / "model.pt")}
    tested = workflow("segmentation", ["train", "evaluate"], **options("segmentation", tmp_path, **told))
    tested.run()
    overlaps = tested.parser.get_parsed_content("validate#evaluator").state.metric_details["val_iou"]
    told["dataset_dir"] = str(radiographs / "imagesTs")
    workflow("segmentation", "inference", "infer", **options("segmentation", tmp_path / "found", **told)).run()
    for i, overlap in zip((6, 7), overlaps, strict=True):
        found, truth = read(tmp_path / "found" / f"{i}_seg.nii.gz"), read(radiographs / "labelsTs" / f"{i}.png")
        assert found.shape == truth.shape
        both, either = (found * truth).sum(), np.maximum(found, truth).sum()
        assert float(overlap) == pytest.approx(both / either, abs=1e-6)
        assert overlap > 0.4
    assert not torch.equal(overlaps[0], overlaps[1])


NESTED = {"heart": 2, "thorax": [1, 2]}


def test_regions_are_trained_by_sigmoids_scored_each_and_written_as_one_label_map(tmp_path):
    volumes = write_volumes(tmp_path / "volumes")
    asked = segmentation(tmp_path, volumes, regions=NESTED, roi_size=[40, 40, 24], augmentation=None)
    train = workflow("segmentation", **asked)
    batch = next(iter(train.parser.get_parsed_content("train#dataloader")))
    thorax, heart = batch["label"].unbind(1)
    assert (thorax >= heart).all() and thorax.sum() > heart.sum() > 0
    logits = torch.randn(batch["label"].shape)
    both = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["label"])
    both += DiceLoss(sigmoid=True, batch=True)(logits, batch["label"])
    loss = train.parser.get_parsed_content("loss")
    torch.testing.assert_close(loss(logits, batch["label"]), both)
    train.run()
    assert json.loads((tmp_path / "models/model.json").read_text())["task"]["regions"] == NESTED

    # a head that finds half of the voxels, and the heart in half of these
    network = train.parser.get_parsed_content("network").eval()
    images, head = batch["image"].as_tensor(), network.head
    recollect_bn(network, [images])
    head.weight.data[1], head.bias.data = head.weight.data[0], torch.zeros(2)
    with torch.no_grad():
        head.bias.data = -network(images)[:, 0].flatten()[::8].quantile(torch.tensor([0.5, 0.75]))
    torch.save(network.state_dict(), tmp_path / "models/model.pt")
    told = {"dataset_dir": str(volumes), "checkpoint": str(tmp_path / "models/model.pt")}
    tested = workflow("segmentation", ["train", "evaluate"], **options("segmentation", tmp_path, **told))
    tested.run()
    (dices,) = tested.parser.get_parsed_content("validate#evaluator").state.metric_details["val_mean_dice"]
    told["dataset_dir"] = str(volumes / "imagesTs")
    workflow("segmentation", "inference", "infer", **options("segmentation", tmp_path / "found", **told)).run()
    found, truth = read(tmp_path / "found/p3_seg.nii.gz"), read(volumes / "labelsTs/p3.nii.gz")
    assert set(np.unique(found)) == {0, 1, 2}
    for dice, values in zip(dices, ([1, 2], [2]), strict=True):
        of_found, of_truth = np.isin(found, values), np.isin(truth, values)
        expected = 2 * (of_found & of_truth).sum() / (of_found.sum() + of_truth.sum())
        assert float(dice) == pytest.approx(expected, abs=1e-6)
    task = tested.parser.get_parsed_content("task")
    scores = task.score("dice", [], ["p3"], dices[None].double())
    assert scores.per_class == pytest.approx({"thorax": float(dices[0]), "heart": float(dices[1])})


@given(st.lists(st.lists(st.integers(1, 6), min_size=1, unique=True), min_size=1, max_size=4, unique_by=frozenset))
def test_label_maps_go_through_regions_and_come_back_whatever_lies_in_what(groups):
    regions = {f"region {number}": values for number, values in enumerate(groups)}
    values = torch.arange(8)[None]
    kinds = EncodeLabelsd("label", Regions(regions).kinds)({"label": values})
    maps = EncodeRegionsd("label", regions)(kinds)["label"]
    named = dict(zip(Regions(regions).names, maps, strict=True))
    assert all(named[name].tolist() == [float(v in of) for v in range(8)] for name, of in regions.items())
    back = DecodeRegionsd("label", regions)({"label": maps})["label"][0]
    for number, value in enumerate(back.tolist()):
        assert torch.equal(maps[:, int(value)], maps[:, number]), "a value of the same regions"


def test_regions_outside_of_those_they_lie_in_are_written_over_the_rest():
    brats = {"WT": [1, 2, 4], "TC": [1, 4], "ET": 4}
    found = torch.tensor([[0, 1, 1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0, 0, 1], [0, 0, 0, 1, 0, 1, 1, 1]]) * 0.9
    assert DecodeRegionsd("pred", brats)({"pred": found})["pred"][0].tolist() == [0, 2, 1, 4, 1, 4, 4, 4]


@pytest.mark.parametrize("regions", [{"a": [0, 1]}, {"a": []}, {"a": [1, 1]}, {"a": [1, 2], "b": [2, 1]}])
def test_regions_that_cannot_be_meant_are_refused(regions):
    with pytest.raises(ValueError, match="`regions` must give each region its values"):
        Regions(regions)
