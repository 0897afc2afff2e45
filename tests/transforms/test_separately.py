import pytest
import torch

from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd, RandSignedGammad
from monai_ssl.transforms.separately import Separatelyd


def chain():
    return [RandGaussianNoiseBatchd("image", (0.1, 0.1)), RandSignedGammad("image")]


def test_each_key_has_its_own_draw_and_shape():
    x = torch.rand(2, 1, 9, 8)
    out = Separatelyd(["a", "b"], chain()).set_random_state(0).batch({"a": x, "b": x, "c": x})
    assert not torch.equal(out["a"], out["b"]) and torch.equal(out["c"], x)
    out = Separatelyd(["a", "b"], chain()).batch({"a": x, "b": torch.rand(6, 1, 4, 4)})
    assert out["a"].shape == (2, 1, 9, 8) and out["b"].shape == (6, 1, 4, 4)


def test_the_seed_of_the_views_decides():
    x = torch.rand(2, 1, 9, 8)

    def result(seed):
        views = BatchViews([Separatelyd(["a", "b"], chain())]).set_random_state(seed)
        return torch.stack([views({"a": x, "b": x})[key] for key in "ab"])

    assert torch.equal(result(1), result(1)) and not torch.equal(result(1), result(2))


def test_one_sample():
    x = torch.rand(1, 9, 8)
    single = Separatelyd("a", chain()).set_random_state(3)({"a": x})["a"]
    batch = Separatelyd("a", chain()).set_random_state(3).batch({"a": x[None]})["a"]
    torch.testing.assert_close(single, batch[0])


def test_missing_key():
    with pytest.raises(KeyError, match="b"):
        Separatelyd("b", chain()).batch({"a": torch.rand(2, 1, 9, 8)})
    assert list(Separatelyd("b", chain(), allow_missing_keys=True).batch({"a": 1})) == ["a"]
