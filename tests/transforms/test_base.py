import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandBatchTransform
from monai_ssl.transforms.base import as_batch, as_samples, expand


class RandAdd(RandBatchTransform):
    """Adds a number drawn for each sample."""

    def draw(self, shape):
        return {"number": self.R.uniform(1, 2), "seed": 5}

    @staticmethod
    def kernel(x, params):
        return x + expand(params["number"], x.ndim)


def test_keys_share_one_draw_and_params_say_what_was_done():
    x = torch.zeros(4, 1, 5, 6)
    out = RandAdd(["a", "b"], params_key="done").set_random_state(0).batch({"a": x, "b": x, "c": x})
    assert torch.equal(out["a"], out["b"]) and torch.equal(out["c"], x)
    assert torch.equal(out["a"][:, 0, 0, 0], out["done"]["number"])
    assert out["done"]["applied"].all() and len(out["done"]["number"].unique()) == 4


def test_params_of_one_sample_have_no_batch_axis():
    out = RandAdd("a", params_key="done").set_random_state(0)({"a": torch.zeros(1, 5, 6)})
    assert out["done"]["number"].ndim == 0 and out["a"].max() == out["done"]["number"]


def test_params_of_a_list_keep_it():
    out = RandAdd("a", params_key="done").set_random_state(0)({"a": [torch.zeros(1, 5, 6)] * 3})
    assert out["done"]["number"].shape == (3,) and len(out["a"]) == 3


def test_applied_names_the_treated_samples():
    x = torch.zeros(40, 1, 5, 6)
    out = RandAdd("a", 0.5, "done").set_random_state(0).batch({"a": x})
    assert torch.equal(out["done"]["applied"], out["a"].flatten(1).amax(1) > 0)
    assert 8 < out["done"]["applied"].sum() < 32
    assert torch.equal(out["a"][:, 0, 0, 0], out["done"]["number"] * out["done"]["applied"])


def test_keys_may_differ_in_channels_only():
    out = RandAdd(["a", "b"]).batch({"a": torch.zeros(2, 1, 5, 6), "b": torch.zeros(2, 3, 5, 6)})
    assert out["b"].shape == (2, 3, 5, 6)
    with pytest.raises(ValueError, match=r"`a` is \(2, 1, 5, 6\) and `b` is \(2, 1, 5, 7\): use one"):
        RandAdd(["a", "b"]).batch({"a": torch.zeros(2, 1, 5, 6), "b": torch.zeros(2, 1, 5, 7)})


def test_missing_key():
    with pytest.raises(KeyError, match="b"):
        RandAdd("b").batch({"a": torch.zeros(2, 1, 5, 6)})
    data = {"a": torch.zeros(1, 5, 6)}
    assert RandAdd("b", params_key="done", allow_missing_keys=True)(data) == data


def test_arrays_are_welcome():
    out = RandAdd("a")({"a": np.zeros((1, 5, 6), np.float32)})["a"]
    assert isinstance(out, torch.Tensor) and out.dtype == torch.float32


def test_as_samples_undoes_as_batch():
    one, several = torch.rand(2, 5), [torch.rand(2, 5), torch.rand(2, 5)]
    assert torch.equal(as_samples(as_batch(one), one), one)
    assert all(map(torch.equal, as_samples(as_batch(several), several), several))


class Scaled(RandBatchTransform):
    """Divides by the largest value of another image, which it looks at."""

    reads = ("other",)

    def draw(self, shape):
        return {}

    def measure(self, data):
        return {"largest": data["other"].flatten(1).amax(1)}

    @staticmethod
    def kernel(x, params):
        return x / params["largest"][:, None, None]


def test_parameters_may_be_measured_on_an_image_that_stays_as_it_is():
    data = {"image": torch.ones(2, 1, 3), "other": torch.tensor([[[2.0, 1.0]], [[4.0, 1.0]]])}
    out = Scaled("image").batch(data)
    assert torch.equal(out["image"][:, 0, 0], torch.tensor([0.5, 0.25])) and out["other"] is data["other"]
    one = Scaled("image")({k: v[1] for k, v in data.items()})
    assert torch.equal(one["image"], out["image"][1]) and torch.equal(one["other"], data["other"][1])
