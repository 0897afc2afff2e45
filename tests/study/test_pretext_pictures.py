"""`benchmarks/pretext_pictures.py` and the network of pairs: what table 1 of PCRLv1 asks frozen features."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_ssl.networks import ConvEncoder
from monai_ssl.tasks import Classification

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import pretext_pictures


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Of pictures of 28 x 42 pixels in which each patch of 2 x 3 says its row and column by its gray."""
    root = tmp_path_factory.mktemp("pretext")
    grid = np.arange(14 * 14, dtype=np.uint8).reshape(14, 14)
    (root / "data").mkdir()
    for i in range(60):
        Image.fromarray(np.kron(grid, np.ones((2, 3), np.uint8))).save(root / "data" / f"{i}.png")
    lines = "".join(f"{i}.png,P{i // 2},{'test' if i < 10 else ''}\n" for i in range(60))
    (root / "data/datalist.csv").write_text(f"image,patient,section\n{lines}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["pretext_pictures.py", str(root / "data"), str(root)])
        pretext_pictures.main()
    return root


def rows(folder):
    return [
        (np.asarray(Image.open(folder / row["image"])), row) for row in csv.DictReader((folder / "datalist.csv").open())
    ]


def test_a_pair_is_a_patch_and_the_neighbor_that_its_label_says(made):
    told = set()
    for picture, row in rows(made / "nih_chestxray14_pairs"):
        assert picture.shape == (2, 6)
        (first,), (second,) = np.unique(picture[:, :3]), np.unique(picture[:, 3:])
        down, right = (int(b) - int(a) for a, b in zip(divmod(first, 14), divmod(second, 14), strict=True))
        assert pretext_pictures.DIRECTIONS[row["label"]] == (down, right)
        told.add(row["label"])
    assert told == set(pretext_pictures.DIRECTIONS)


def test_a_turned_picture_is_turned_back_by_its_label(made):
    whole = np.asarray(Image.open(made / "data" / "0.png"))
    for picture, row in rows(made / "nih_chestxray14_rotated"):
        assert np.array_equal(np.rot90(picture, -pretext_pictures.TURNS.index(row["label"])), whole)


def test_the_task_reads_pairs_and_its_network_sees_each_patch_by_itself(made):
    task = Classification(list(pretext_pictures.DIRECTIONS), parts=2)
    assert {case["patient"] for case in task.cases("test", made / "nih_chestxray14_pairs")} == {
        f"P{i}" for i in range(5)
    }
    network = task.network(ConvEncoder(2, widths=(4, 8)), image_size=[16, 8]).eval()
    pair = torch.rand(3, 1, 16, 8)
    vectors = network.vectors(pair)
    assert vectors.shape == (3, 16) and network(pair).shape == (3, 8)
    other = pair.clone()
    other[:, :, 8:] = torch.rand(3, 1, 8, 8)
    assert torch.equal(network.vectors(other)[:, :8], vectors[:, :8]), "the first patch knows nothing of the second"
    swapped = network.vectors(torch.cat([pair[:, :, 8:], pair[:, :, :8]], dim=2))
    assert torch.allclose(swapped, torch.cat([vectors[:, 8:], vectors[:, :8]], dim=1), atol=1e-6)
    with pytest.raises(ValueError, match="2 pictures share the first side"):
        task.network(ConvEncoder(2, widths=(4, 8)), image_size=[15, 8])
    with pytest.raises(ValueError, match="parts"):
        Classification(["a"], parts=0)
