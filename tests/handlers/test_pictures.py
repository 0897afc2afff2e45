import numpy as np
import pytest
import torch
from PIL import Image
from toy_training import Toy, batches, ssl_trainer, still

from monai_ssl.handlers import Pictures
from monai_ssl.handlers.pictures import first_samples, middle_slice, write_sheet


class Recorder:
    def __init__(self):
        self.files = []

    def log_artifact(self, file, folder):
        self.files.append((file.name, folder))


def test_first_every_and_last_epoch_have_a_sheet(tmp_path):
    recorder = Recorder()
    data = batches(3, shape=(1, 8, 10, 6))
    ssl_trainer([Pictures(tmp_path, 3, tracking=recorder)], 5, data, Toy(spatial_dims=3)).run()
    names = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert names == ["epoch_0001.png", "epoch_0003.png", "epoch_0005.png"]
    assert recorder.files == [(name, "pictures") for name in names]
    picture = Image.open(tmp_path / "pictures" / names[0])
    assert picture.size[1] > picture.size[0]  # six rows, three columns
    assert set(picture.info) <= {"dpi"}


def test_the_same_batch_is_drawn_each_time(tmp_path):
    handler = Pictures(tmp_path, 1)
    ssl_trainer([handler], 3, batches(4)).run()
    first = batches(4)[0]
    assert torch.equal(handler._batch["view1"], first["view1"][:2])
    # nothing is learned: the sheets are equal pixel by pixel
    still(ssl_trainer([Pictures(tmp_path / "still", 1)], 2, batches(4))).run()
    one, two = (np.array(Image.open(tmp_path / "still" / "pictures" / f"epoch_000{e}.png")) for e in (1, 2))
    assert np.array_equal(one, two)


def test_local_views_stay_with_their_samples():
    batch = {"view1": torch.arange(4.0)[:, None], "locals": torch.arange(12.0)[:, None], "scan": ["a"] * 4}
    kept = first_samples(batch, 2)
    assert kept["view1"].flatten().tolist() == [0, 1] and kept["locals"].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert "scan" not in kept


def test_names_of_scans_say_how_many_samples_there_are():
    kept = first_samples({"patches": torch.arange(12.0)[:, None], "scan": ["a"] * 3}, 2)
    assert kept["patches"].flatten().tolist() == list(range(8))


def test_planes_of_a_volume():
    x = torch.zeros(4, 6, 8)
    x[1, 2, :] = 1  # a line along z, seen as a point from above
    assert middle_slice(x, "axial").shape == (6, 4) and middle_slice(x, "axial")[2, 1] == 1
    assert middle_slice(x, "coronal").shape == (8, 4) and middle_slice(x, "sagittal").shape == (8, 6)


def test_panels_share_the_gray_scale_of_the_target(tmp_path):
    half = torch.full((1, 1, 16, 16), 0.5)
    target = half.clone()
    target[..., :4, :] = 0.0
    target[..., 12:, :] = 1.0
    write_sheet({"input": half, "target": target}, tmp_path / "a.png", 1)
    pixels = np.array(Image.open(tmp_path / "a.png").convert("L"))
    height, width = pixels.shape
    assert abs(int(pixels[height // 2, width // 4]) - 128) < 4


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 2"):
        Pictures(tmp_path, 0)


class Undrawable(Toy):
    """Fails whenever it is looked at from its second time on."""

    looks = 0

    def panels(self, batch):
        self.looks += 1
        if self.looks > 1:
            raise torch.linalg.LinAlgError("it did not converge")
        return super().panels(batch)


def test_a_picture_that_fails_is_said_once_and_does_not_end_the_run(tmp_path, caplog):
    trainer = ssl_trainer([Pictures(tmp_path, 1)], 3, batches(4), Undrawable())
    trainer.run()
    assert trainer.state.epoch == 3 and [p.name for p in (tmp_path / "pictures").iterdir()] == ["epoch_0001.png"]
    (text,) = [r.getMessage() for r in caplog.records if r.name.startswith("monai_ssl")]
    assert text.startswith("`Pictures` failed in iteration 8; training goes on") and "did not converge" in text
