import pytest
import torch
from ignite.engine import Events
from toy_training import Toy, batches, ssl_trainer

from monai_ssl.handlers import CollapseMonitor, HeldOutLoss, Pictures, Probe
from monai_ssl.transforms.views import BatchViews


class Noise:
    """Adds noise from torch's global generator."""

    def batch(self, batch):
        return {**batch, "view1": batch["view1"] + 0.1 * torch.randn_like(batch["view1"])}


def labelled(n=12):
    return [{"image": torch.full((1, 8, 8), float(i % 2)) + 0.01 * i, "label": i % 2} for i in range(n)]


def weights(handlers, **kwargs):
    method = Toy()
    torch.manual_seed(1)
    for p in method.parameters():
        torch.nn.init.normal_(p)
    losses = []
    trainer = ssl_trainer(handlers, epochs=3, method=method, views=BatchViews([Noise()]), **kwargs)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    trainer.run()
    state = [torch.get_rng_state(), method.generator.get_state()]
    return {k: v.clone() for k, v in method.state_dict().items()}, losses, state, trainer


def test_watching_does_not_change_training(tmp_path):
    plain, plain_losses, plain_state, _ = weights([])
    watchers = [
        HeldOutLoss(batches(3, seed=5), BatchViews([Noise()])),
        Probe(labelled()),
        CollapseMonitor(every=1, patience=100),
        Pictures(tmp_path, every=1),
    ]
    watched, losses, state, trainer = weights(watchers)
    assert losses == plain_losses
    assert all(torch.equal(plain[k], watched[k]) for k in plain)
    assert all(torch.equal(a, b) for a, b in zip(plain_state, state, strict=True))
    assert trainer.method.training and all(m.training for m in trainer.method.modules())
    assert {"held_out/loss", "probe/knn", "collapse/spread"} <= set(trainer.state.metrics)


def test_values_of_different_epochs_compare():
    """With a learning rate of zero, held-out loss stays the same to the last bit, though views and method draw."""
    seen = []
    handler = HeldOutLoss(batches(3, seed=5), BatchViews([Noise()]))
    trainer = ssl_trainer([handler], epochs=3, data=batches(5))
    trainer.optimizers["losses"].param_groups[0]["lr"] = 0.0
    # batch norm would move
    for m in trainer.method.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.momentum = 0.0
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda e: seen.append(dict(e.state.metrics)))
    trainer.run()
    assert seen[0] == seen[1] == seen[2]


@torch.no_grad()
def closed_form(method, data):
    return sum(float((method.head(method.net(b["view1"])[-1]) - b["target1"]).square().mean()) for b in data) / len(
        data
    )


def test_mean_of_every_term_in_closed_form():
    data = batches(3, seed=5)
    trainer = ssl_trainer([HeldOutLoss(data)], epochs=1)
    trainer.run()
    metrics = trainer.state.metrics
    assert metrics["held_out/restoration"] == pytest.approx(closed_form(trainer.method.eval(), data), rel=1e-5)
    assert metrics["held_out/loss"] == pytest.approx(metrics["held_out/restoration"] + metrics["held_out/drawn"])


class Scored(Toy):
    def metrics(self, batch):
        return {"brightness": batch["target1"].mean()}


def test_metrics_of_the_method_stand_beside_the_loss_and_not_in_it():
    data = batches(3, seed=5)
    trainer = ssl_trainer([HeldOutLoss(data)], epochs=1, method=Scored())
    trainer.run()
    metrics = trainer.state.metrics
    assert metrics["held_out/brightness"] == pytest.approx(torch.stack([b["target1"] for b in data]).mean().item())
    assert metrics["held_out/loss"] == pytest.approx(metrics["held_out/restoration"] + metrics["held_out/drawn"])


def test_best_is_the_least_and_the_last_epoch_is_always_evaluated():
    values = []
    handler = HeldOutLoss(batches(2, seed=5), every=2)
    trainer = ssl_trainer([handler], epochs=5)
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda e: values.append((e.state.epoch, e.state.metrics.get("held_out/loss")))
    )
    trainer.run()
    losses = [v for _, v in values]
    assert losses[0] is None and losses[1] == losses[2] and len({losses[1], losses[3], losses[4]}) == 3
    assert trainer.state.metrics["held_out/best"] == min(losses[1], losses[3], losses[4])


def test_an_endless_loader_needs_a_number_of_batches():
    def endless():
        while True:
            yield from batches(1)

    trainer = ssl_trainer([HeldOutLoss(endless(), batches=2)], epochs=1)
    trainer.run()
    assert "held_out/loss" in trainer.state.metrics


def test_refusals():
    with pytest.raises(ValueError, match=r"`every` of `HeldOutLoss`.* got 0"):
        HeldOutLoss([], every=0)
    with pytest.raises(ValueError, match="yields no batch; hold out more scans"):
        ssl_trainer([HeldOutLoss([])]).run()


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

    handler = HeldOutLoss(Crops(batches(1)), BatchViews([Look()]))
    ssl_trainer([handler], epochs=1, amp=True).run()
    assert seen == [torch.float32]
