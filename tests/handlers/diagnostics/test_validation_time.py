import pytest
from ignite.engine import Engine, Events
from toy_training import said

from monai_ssl.handlers.diagnostics import ValidationTime


@pytest.mark.parametrize(
    ("epoch", "validation", "interval", "epochs", "wanted"),
    [
        (10, 40, 1, 100, 16),  # then 40 of 200 seconds, a fifth
        (10, 40, 3, 100, 16),
        (10, 40, 1, 9, 9),  # at the end at least
        (10, 9, 1, 100, None),  # less than half
        (1, 9, 1, 5, None),  # less than a minute
        (10, 90, 7, 7, None),  # nothing to gain
    ],
)
def test_the_interval_that_is_advised_leaves_a_fifth_to_validation(
    monkeypatch, epoch, validation, interval, epochs, wanted
):
    now = [7.0]
    monkeypatch.setattr("monai_ssl.handlers.diagnostics.validation_time.time.perf_counter", lambda: now[0])

    def spend(seconds):
        now[0] += seconds

    trainer, validator = Engine(lambda *_: spend(epoch / 2)), Engine(lambda *_: spend(validation))
    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=interval), lambda _: validator.run([0]))
    ValidationTime(validator, interval).attach(trainer)
    spoken = said(lambda: trainer.run([0, 1], max_epochs=epochs))
    assert [f"`--val_interval {wanted}`" in text for text in spoken] == [True] * (wanted is not None)
