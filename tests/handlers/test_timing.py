import time
import warnings

import pytest
from ignite.engine import Engine

from monai_ssl.handlers import DataWait


def run(waits, work=0.004, epochs=1, length=None):
    """An engine whose loader waits as told and whose iterations take `work` seconds."""

    def loader():
        for wait in waits:
            time.sleep(wait)
            yield 0

    engine = Engine(lambda e, b: time.sleep(work))
    handler = DataWait()
    handler.attach(engine)
    engine.run(loader(), max_epochs=epochs, epoch_length=length or len(waits))
    return engine.state.metrics


def test_share_median_and_tail():
    with pytest.warns(UserWarning, match=r"waited for data \d+% of the time in epoch 1 .*`num_workers`"):
        metrics = run([0.0] + [0.01] * 18 + [0.1])
    assert metrics["time/data_wait_ms_median"] == pytest.approx(10, rel=0.5)
    assert metrics["time/data_wait_ms_median"] < metrics["time/data_wait_ms_p95"]
    assert 0.5 < metrics["time/data_wait_share"] < 1.0
    assert metrics["time/iteration_ms_median"] > metrics["time/data_wait_ms_median"] + 3.5


def test_a_fast_loader_is_silent_and_start_up_does_not_count():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = run([0.3] + [0.0] * 15, work=0.005)
    assert metrics["time/data_wait_share"] < 0.2


def test_the_warning_comes_once():
    with pytest.warns(UserWarning, match="waited for data") as caught:
        run([0.005] * 36, work=0.0, epochs=3, length=12)
    assert sum("waited" in str(w.message) for w in caught) == 1


def test_a_few_slow_iterations_are_not_judged():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run([0.01] * 5, work=0.0)["time/data_wait_share"] > 0.5
