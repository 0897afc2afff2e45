import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from monai_ssl.evaluation.frozen import images_of
from monai_ssl.networks.modes import device_of, evaluating


def test_every_module_keeps_its_mode_after_an_error_too():
    first, second = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout())), nn.Dropout()
    first[1].eval()
    modes = [m.training for m in (*first.modules(), second)]
    with pytest.raises(RuntimeError, match="inside"), evaluating(first, second):
        assert not any(m.training for m in (*first.modules(), second))
        raise RuntimeError("inside")
    assert [m.training for m in (*first.modules(), second)] == modes


def test_images_come_plain_from_tensors_and_dictionaries():
    x = torch.rand(2, 1, 4, 4)
    found = list(images_of([x, {"image": MetaTensor(x)}]))
    assert all(type(y) is torch.Tensor and torch.equal(x, y) for y in found)
    assert next(images_of([{"view": x}], "view")) is not None


def test_a_network_without_tensors_is_on_the_cpu():
    assert device_of(nn.ReLU()) == torch.device("cpu") == device_of(nn.BatchNorm1d(2, affine=False))
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
