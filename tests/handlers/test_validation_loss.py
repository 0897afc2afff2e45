import pytest
import torch
from ignite.engine import Events
from toy_training import Toy, batches, ssl_trainer, still

from monai_ssl.handlers import ValidationLoss
from monai_ssl.transforms.views import BatchViews


class Noise:
    """Adds noise from torch's global generator."""

    def batch(self, batch):
        return {**batch, "view1": batch["view1"] + 0.1 * torch.randn_like(batch["view1"])}


def test_values_of_different_epochs_compare():
    """In a training that changes nothing: the same to the last bit, though views and method draw."""
    seen = []
    handler = ValidationLoss(batches(3, seed=5), BatchViews([Noise()]))
    trainer = still(ssl_trainer([handler], epochs=3, data=batches(5)))
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.append(dict(e.state.metrics)))
    trainer.run()
    assert seen[0] == seen[1] == seen[2]


@torch.no_grad()
def closed_form(method, data):
    return sum(float((method.head(method.net(b["view1"])[-1]) - b["target1"]).square().mean()) for b in data) / len(
        data
    )


class Scored(Toy):
    def metrics(self, batch):
        return {"brightness": batch["target1"].mean()}


def test_mean_of_every_term_in_closed_form():
    """Metrics of the method stand beside the loss and not in it."""
    data = batches(3, seed=5)
    trainer = ssl_trainer([ValidationLoss(data)], epochs=1, method=Scored())
    trainer.run()
    metrics = trainer.state.metrics
    assert metrics["validation/restoration"] == pytest.approx(closed_form(trainer.method.eval(), data), rel=1e-5)
    assert metrics["validation/brightness"] == pytest.approx(torch.stack([b["target1"] for b in data]).mean().item())
    assert metrics["validation/loss"] == pytest.approx(metrics["validation/restoration"] + metrics["validation/drawn"])


def test_best_is_the_least_and_the_last_epoch_is_always_evaluated():
    values = []
    handler = ValidationLoss(batches(2, seed=5), every=2)
    trainer = ssl_trainer([handler], epochs=5)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda e: values.append((e.state.epoch, e.state.metrics.get("validation/loss")))
    )
    trainer.run()
    losses = [v for _, v in values]
    assert losses[0] is None and losses[1] == losses[2] and len({losses[1], losses[3], losses[4]}) == 3
    assert trainer.state.metrics["validation/best"] == min(losses[1], losses[3], losses[4])


def test_an_endless_loader_needs_a_number_of_batches():
    def endless():
        while True:
            yield from batches(1)

    trainer = ssl_trainer([ValidationLoss(endless(), batches=2)], epochs=1)
    trainer.run()
    assert "validation/loss" in trainer.state.metrics


def test_refusals():
    with pytest.raises(ValueError, match=r"`every` of `ValidationLoss`.* got 0"):
        ValidationLoss([], every=0)
    with pytest.raises(ValueError, match="yields no batch; give more scans"):
        ssl_trainer([ValidationLoss([])]).run()


def test_an_evaluation_that_fails_does_not_end_the_run(caplog):
    class Torn(list):
        reads = 0

        def __iter__(self):
            Torn.reads += 1
            if Torn.reads == 2:
                raise OSError("scan 7 was cut off")
            return list.__iter__(self)

    seen = []
    trainer = ssl_trainer([ValidationLoss(Torn(batches(2, seed=5)))], epochs=3)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.append("validation/loss" in e.state.metrics))
    trainer.run()
    assert seen == [True, False, True] and "validation/best" in trainer.state.metrics
    assert "`ValidationLoss` failed in iteration" in caplog.text and "scan 7 was cut off" in caplog.text


def test_crops_are_cut_in_single_precision_under_autocast():
    """Without workers the loader runs inside of the handler, and a crop's resizing is a product of matrices."""

    class Crops(list):
        def __iter__(self):
            for batch in list.__iter__(self):
                yield {k: v @ torch.eye(8) for k, v in batch.items()}

    seen = []

    class Look(Noise):
        def batch(self, batch):
            seen.append(batch["view1"].dtype)
            return batch

    handler = ValidationLoss(Crops(batches(1)), BatchViews([Look()]))
    ssl_trainer([handler], epochs=1, amp=True).run()
    assert seen == [torch.float32]
