import pytest
from ignite.engine import Engine
from toy_training import said

from monai_ssl.handlers import DataWait


@pytest.fixture
def run(monkeypatch):
    """Runs an engine on a clock of its own, whose loader waits as told and whose iterations take `work` seconds.

    Gives its metrics and what was said.
    """
    now = [0.0]
    monkeypatch.setattr("monai_ssl.handlers.diagnostics.data_wait.time.perf_counter", lambda: now[0])

    def sleep(seconds):
        now[0] += seconds

    def loader(waits):
        for wait in waits:
            sleep(wait)
            yield 0

    def runs(waits, work=0.004, epochs=1):
        engine = Engine(lambda e, b: sleep(work))
        DataWait().attach(engine)
        spoken = said(lambda: engine.run(loader(waits), max_epochs=epochs, epoch_length=len(waits) // epochs))
        return engine.state.metrics, spoken

    return runs


def test_share_median_and_tail_in_closed_form(run):
    metrics, (message,) = run([5.0] + [0.01] * 18 + [0.14, 0.16], work=0.006)
    assert "waited for data 80% of the time in epoch 1 (median 10 ms" in message and "`num_workers`" in message
    assert metrics["time/data_wait_share"] == pytest.approx(0.48 / 0.6)
    assert metrics["time/data_wait_ms_median"] == pytest.approx(10)
    assert metrics["time/data_wait_ms_p95"] == pytest.approx(141)
    assert metrics["time/iteration_ms_median"] == pytest.approx(16)


def test_a_fast_loader_is_silent_and_start_up_does_not_count(run):
    metrics, spoken = run([9.0] + [0.001] * 15, work=0.009)
    assert spoken == [] and metrics["time/data_wait_share"] == pytest.approx(0.1)


def test_an_epoch_is_measured_by_itself_and_the_warning_comes_once(run):
    metrics, (message,) = run([0.0] * 20 + [1.0] * 20 + [3.0] * 20, work=1.0, epochs=3)
    assert "in epoch 2" in message and metrics["time/data_wait_share"] == pytest.approx(0.75)


def test_a_few_slow_iterations_are_not_judged(run):
    metrics, spoken = run([0.01] * 5, work=0.0)
    assert spoken == [] and metrics["time/data_wait_share"] == 1.0
