import pytest
import torch
from toy_training import Toy, batches, said, ssl_trainer, words

from monai_ssl.handlers import CollapseMonitor


class Collapsing(Toy):
    """Vectors point everywhere at first, and are nearly the same after a number of looks."""

    def __init__(self, looks=1):
        super().__init__()
        self.looks = looks

    def representation(self, x):
        self.looks -= 1
        return torch.randn(len(x), 6) * (1.0 if self.looks >= 0 else 1e-3) + (self.looks < 0)


class Untrained(Toy):
    def representation(self, x):
        return 1 + 1e-3 * torch.randn(len(x), 6)


class Equal(Toy):
    def representation(self, x):
        return torch.linspace(0.1, 0.7, 6).repeat(len(x), 1)


class Diverging(Toy):
    def representation(self, x):
        return torch.full((len(x), 6), torch.nan)


def test_collapse_is_said_once_in_words():
    trainer = ssl_trainer([CollapseMonitor(every=2, patience=3)], epochs=5, method=Collapsing())
    (message,) = said(trainer.run)
    assert "nearly the same" in message and "last 3 checks up to iteration 6." in message and "lower `lr`" in message
    assert trainer.state.metrics["collapse/spread"] < 0.01
    assert trainer.state.metrics["collapse/effective_rank"] == pytest.approx(1.0, abs=0.02)


def test_equal_vectors_are_a_collapse_from_the_start():
    (message,) = words(CollapseMonitor(every=1, patience=3), Equal())
    assert "nearly the same" in message


def test_vectors_that_are_no_numbers_do_not_end_the_run():
    (message,) = words(CollapseMonitor(), Diverging())
    assert message.startswith("`CollapseMonitor` failed in iteration 1") and "LinAlgError" in message


@pytest.mark.parametrize(("method", "value"), [(lambda: Collapsing(100), 1.0), (Untrained, 0.0)])
def test_health_and_an_untrained_network_are_silent(method, value):
    trainer = ssl_trainer([CollapseMonitor(every=1, patience=1)], method=method(), data=batches(4, size=30))
    assert said(trainer.run) == []
    assert trainer.state.metrics["collapse/spread"] == pytest.approx(value, abs=0.2)
    if value:
        assert trainer.state.metrics["collapse/effective_rank"] > 4.5


@pytest.mark.parametrize(("value", "bad"), [(0.24, False), (0.21, False), (0.19, True), (0.0, True)])
def test_a_spread_above_the_alarm_is_never_a_collapse(value, bad):
    monitor = CollapseMonitor(alarm=0.2)
    assert not monitor._is_bad(1.0)
    assert monitor._is_bad(value) == bad


def test_a_recovery_starts_the_count_anew():
    method, monitor = Collapsing(), CollapseMonitor(every=1, patience=3)
    trainer = ssl_trainer([monitor], method=method, epochs=1, data=batches(3))
    trainer.run()
    assert monitor._bad == 2
    method.looks = 1
    monitor._check(trainer)
    assert monitor._bad == 0


def test_one_image_is_no_sample():
    trainer = ssl_trainer([CollapseMonitor(every=1)], data=batches(2, size=1))
    assert said(trainer.run) == [] and "collapse/spread" not in trainer.state.metrics
