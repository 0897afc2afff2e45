import warnings

import pytest
import torch
from toy_training import Toy, batches, ssl_trainer

from monai_ssl.handlers import CollapseMonitor


class Collapsed(Toy):
    def representation(self, x):
        return torch.ones(len(x), 6) + 1e-4 * super().representation(x)


class Spread(Toy):
    def representation(self, x):
        return torch.randn(len(x), 6)


def test_collapse_is_said_once_in_words():
    with pytest.warns(UserWarning, match=r"nearly the same .* last 3 checks up to iteration 6.*lower `lr`") as caught:
        trainer = ssl_trainer([CollapseMonitor(every=2, patience=3)], epochs=5, method=Collapsed())
        trainer.run()
    assert sum("nearly the same" in str(w.message) for w in caught) == 1
    assert trainer.state.metrics["collapse/spread"] < 0.01
    assert trainer.state.metrics["collapse/effective_rank"] == pytest.approx(1.0, abs=0.01)


def test_health_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer = ssl_trainer([CollapseMonitor(every=1, patience=1)], method=Spread(), data=batches(4, size=30))
        trainer.run()
    assert trainer.state.metrics["collapse/spread"] == pytest.approx(1.0, abs=0.2)
    assert trainer.state.metrics["collapse/effective_rank"] > 4.5


def test_a_recovery_starts_the_count_anew():
    handler = CollapseMonitor(every=1, patience=3)
    trainer = ssl_trainer([handler], method=Collapsed(), epochs=1, data=batches(2))
    trainer.run()
    assert handler._below == 2
    trainer.method.representation = Spread().representation
    handler._check(trainer)
    assert handler._below == 0


def test_one_image_is_no_sample():
    trainer = ssl_trainer([CollapseMonitor(every=1)], data=batches(2, size=1))
    trainer.run()
    assert "collapse/spread" not in trainer.state.metrics


def test_refusals():
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 5"):
        CollapseMonitor(every=0)
    with pytest.raises(KeyError, match="`key` of `CollapseMonitor` is 'image', but the batch has view1, target1"):
        ssl_trainer([CollapseMonitor(every=1, key="image")]).run()
