import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from monai_ssl.tasks.finite_loss import FiniteLoss


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(value):
    network = nn.Linear(1, 1)
    batches = [{"image": torch.ones(2, 1), "label": torch.full((2, 1), label)} for label in (1.0, value)]
    options = {"optimizer": torch.optim.SGD(network.parameters(), 0.1), "loss_function": nn.MSELoss()}
    trainer = SupervisedTrainer("cpu", 1, batches, network, train_handlers=[FiniteLoss()], **options)
    with pytest.raises(FloatingPointError, match=r"The loss is (nan|inf) in iteration 2 \(epoch 1\)"):
        trainer.run()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
