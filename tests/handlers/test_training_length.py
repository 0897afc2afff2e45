"""The length that a run tells is the one that it has."""

import logging

import pytest
import torch
from toy_training import Toy

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import TrainingLength


@pytest.mark.parametrize(("accumulation", "steps"), [(1, 10), (2, 6), (7, 2)])
def test_the_steps_that_are_told_are_taken(accumulation, steps, caplog, monkeypatch):
    monkeypatch.setattr("monai_ssl.handlers.training_length.FEW_STEPS", 7)
    method = Toy()
    optimizer, taken = torch.optim.SGD(method.parameters(), 0.1), []
    optimizer.register_step_post_hook(lambda *_: taken.append(1))
    batches = [{"view1": torch.rand(2, 1, 4, 4), "target1": torch.rand(2, 1, 4, 4)}] * 5
    trainer = SSLTrainer("cpu", 2, batches, method, optimizer, accumulation_steps=accumulation)
    TrainingLength(2).attach(trainer)
    with caplog.at_level(logging.INFO):
        trainer.run()
    assert len(taken) == steps
    assert f"2 epochs of 5 iterations: {steps} optimizer steps, 20 samples." in caplog.text
    assert (f"{steps} optimizer steps are few" in caplog.text) == (steps < 7)
