"""Windows of words: as they are, or larger and smaller ones around them."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandWordCropd


@dataclass
class Word:
    """A word in a scan whose voxels are their own first coordinate."""

    shape: tuple
    start: tuple
    size: tuple
    label: int = 3

    def __getitem__(self, where):
        return np.broadcast_to(
            np.arange(self.shape[1], dtype=np.float32).reshape(1, -1, *[1] * (len(self.shape) - 2)), self.shape
        )[where]


def cut(word, out_size, seed=0, **options):
    crop = RandWordCropd("image", out_size, params_key="cut", **options).set_random_state(seed)
    return crop({"image": word, "kept": 1})


@pytest.mark.parametrize("shape", [(1, 90, 80, 40), (1, 90, 80)])
def test_an_unchanged_word_is_its_window(shape):
    start, size = (11, 12, 13)[: len(shape) - 1], (20, 16, 8)[: len(shape) - 1]
    out = cut(Word(shape, start, size), size, prob=0.0)
    assert out["view"].shape == (1, *size) and out["label"] == 3 and out["kept"] == 1 and "image" not in out
    assert torch.equal(out["view"].flatten(2)[0, :, 0], torch.arange(11.0, 31.0))
    assert out["cut"]["start"].tolist() == list(start) and out["cut"]["size"].tolist() == list(size)


def test_changed_windows_have_the_authors_sizes_and_places():
    word = Word((1, 300, 300, 80), (100, 110, 20), (64, 64, 32))
    crop = RandWordCropd("image", (16, 16, 16), prob=1.0, params_key="cut").set_random_state(0)
    cuts = [crop({"image": word})["cut"] for _ in range(600)]
    start, size = (np.array([c[name] for c in cuts]) for name in ("start", "size"))
    assert (size[:, 0] == size[:, 1]).all() and (size[:, 2] == 32).all() and (start[:, 2] == 20).all()
    assert (size[:, 0].min(), size[:, 0].max()) == (50, 79)
    offset = start[:, :2] - [100, 110]
    assert offset.min() == -10 and offset.max() == 9 and not (offset[:, 0] == offset[:, 1]).all()


def test_windows_move_by_a_share_of_their_side():
    crop = RandWordCropd("image", (16, 16), prob=1.0, params_key="cut").set_random_state(0)
    word = Word((1, 300, 300), (100, 100), (32, 32))
    offset = np.array([crop({"image": word})["cut"]["start"] for _ in range(200)]) - 100
    assert offset.min() == -5 and offset.max() == 4


def test_the_share_of_changed_windows():
    word = Word((1, 300, 300), (100, 110), (64, 64))
    same = [cut(word, (16, 16), seed)["cut"]["size"].tolist() == [64, 64] for seed in range(1500)]
    # a changed window may have the old size too: 1 of 30
    assert np.mean(same) == pytest.approx(1 / 3 + 2 / 3 / 29, abs=0.04)


@pytest.mark.parametrize("shape", [(1, 20, 20, 40), (1, 30, 22, 9)])
def test_windows_stay_inside_small_scans_and_are_resized(shape):
    size = np.minimum((24, 24, 16), shape[1:])
    for corner in ((0, 0, 0), tuple(np.array(shape[1:]) - size)):
        for seed in range(20):
            out = cut(Word(shape, corner, tuple(size)), (24, 24, 16), seed)
            start, cut_size = out["cut"]["start"], out["cut"]["size"]
            assert (start >= 0).all() and (start + cut_size <= shape[1:]).all()
            assert out["view"].shape == (1, 24, 24, 16) and out["view"].isfinite().all()


def test_channels_are_repeated_and_words_stay_as_they_are():
    word = Word((1, 60, 60), (10, 10), (16, 16))
    out = cut(word, (16, 16), channels=3, name="word")
    assert out["word"].shape == (3, 16, 16) and torch.equal(out["word"][0], out["word"][2])
    assert (word.start, word.size) == ((10, 10), (16, 16))


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="`RandWordCropd` cuts 2-D windows"):
        cut(Word((1, 60, 60, 60), (0, 0, 0), (8, 8, 8)), (8, 8))
