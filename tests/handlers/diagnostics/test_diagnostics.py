"""What holds for every diagnostic, and for all together."""

import re
from inspect import isabstract

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn
from toy_training import Healthy, Toy, batches, labeled, said, ssl_trainer

from monai_ssl import handlers
from monai_ssl.handlers import Diagnostic, Diagnostics, FrozenParts, Pictures, Probe, ValidationLoss, ZeroGradient
from monai_ssl.transforms.views import BatchViews


class Talker(Diagnostic):
    """Has something to say at every look, until one fails."""

    def __init__(self, fails_at=0, all_ranks=False):
        self.fails_at, self.all_ranks, self.looked = fails_at, all_ranks, 0

    def looks(self):
        return {Events.ITERATION_COMPLETED: self.look}

    def look(self, engine):
        self.looked += 1
        if engine.state.iteration == self.fails_at:
            raise torch.linalg.LinAlgError("it did not converge")
        return f"said in iteration {engine.state.iteration}"


def run(*diagnostics, iterations=6):
    engine = Engine(lambda engine, batch: None)
    for diagnostic in diagnostics:
        diagnostic.attach(engine)
    return said(lambda: engine.run([0] * iterations))


def test_the_first_message_is_said_and_the_looks_go_on():
    talker = Talker()
    assert run(talker) == ["said in iteration 1"] and talker.looked == 6


@pytest.mark.parametrize(("all_ranks", "looked"), [(False, 0), (True, 6)])
def test_only_the_first_rank_speaks(monkeypatch, all_ranks, looked):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    talker = Talker(all_ranks=all_ranks)
    assert run(talker) == [] and talker.looked == looked


def test_a_diagnostic_that_fails_is_switched_off_and_the_run_goes_on():
    failing, other = Talker(fails_at=2), Talker()
    *warned, logged = run(failing, other)
    assert warned == ["said in iteration 1"] * 2 and (failing.looked, other.looked) == (2, 6)
    assert re.search(r"`Talker` failed in iteration 2; training goes on .* _LinAlgError: it did not converge", logged)


def test_what_fails_on_one_of_many_ranks_ends_the_run_or_the_others_would_wait(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    with pytest.raises(torch.linalg.LinAlgError):
        run(Talker(fails_at=2, all_ranks=True))
    assert len(run(Talker(fails_at=2))) == 2


def test_every_diagnostic_is_final_and_in_the_one_line():
    kinds = [kind for kind in vars(handlers).values() if isinstance(kind, type) and issubclass(kind, Diagnostic)]
    kinds.remove(Diagnostic)
    assert isabstract(Diagnostic) and all(kind.__bases__ == (Diagnostic,) for kind in kinds)
    assert sorted(re.findall(r":class:`(\w+)`", Diagnostics.__doc__)) == sorted(kind.__name__ for kind in kinds)
    attached = set()
    engine = ssl_trainer([Diagnostics()])
    for handlers_of_event in engine._event_handlers.values():
        attached |= {
            type(h.__self__) for h, *_ in handlers_of_event if isinstance(getattr(h, "__self__", 0), Diagnostic)
        }
    assert attached == set(kinds)


class Noise:
    """Adds noise from torch's global generator."""

    def batch(self, batch):
        return {**batch, "view1": batch["view1"] + 0.1 * torch.randn_like(batch["view1"])}


def trained(watchers):
    """Weights, losses and generators after enough iterations for each diagnostic to look; method and views draw."""
    losses = []
    trainer = ssl_trainer(watchers, 30, batches(8), views=BatchViews([Noise()]))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    said(trainer.run)
    assert all(m.training for m in trainer.method.modules())
    generators = torch.get_rng_state(), trainer.method.generator.get_state()
    return [*trainer.method.state_dict().values(), *generators, torch.tensor(losses)], trainer


def test_watching_changes_nothing_of_the_run(tmp_path):
    """Bit for bit."""
    watchers = [
        ValidationLoss(batches(3, seed=5), BatchViews([Noise()])),
        Probe(labeled(), every=10),
        Diagnostics(),
        Pictures(tmp_path, every=10),
    ]
    (plain, _), (watched, trainer) = trained([]), trained(watchers)
    assert all(map(torch.equal, plain, watched)) and len(plain) == len(watched)
    assert {"validation/loss", "probe/knn", "collapse/spread", "time/data_wait_share"} <= set(trainer.state.metrics)


class Resuming:
    """Loads another state when the run starts, as a checkpoint does, after the diagnostics were attached."""

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.load)

    def load(self, engine):
        engine.state.iteration, engine.state.epoch = 100, 25
        with torch.no_grad():
            for p in engine.method.parameters():
                p.add_(0.1)


def test_each_run_is_watched_from_where_it_begins_or_continues():
    checks = [ZeroGradient([1, 2]), FrozenParts(4), Resuming()]
    assert said(ssl_trainer(checks, epochs=27, method=Healthy()).run) == []
    method = Toy()
    method.spare = nn.Linear(3, 3)
    gradient, frozen = said(ssl_trainer(checks, epochs=27, method=method).run)
    assert "`drawn`" in gradient and "`spare`" in frozen


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CollapseMonitor", {"every": 0}, "must be at least 1, got 0 and 5"),
        ("ZeroGradient", {"at": []}, "`at` of `ZeroGradient` are iterations of at least 1"),
        ("ZeroGradient", {"at": [0, 3]}, "`at` of `ZeroGradient`"),
        ("FrozenParts", {"after": 0}, "`after` of `FrozenParts` is a number of iterations of at least 1, got 0"),
        (
            "IdenticalViews",
            {"checks": 0},
            "`checks` of `IdenticalViews` is a number of iterations of at least 1, got 0",
        ),
        ("RepeatedSamples", {"share": 0}, r"`share` of `RepeatedSamples` must be in \(0, 1\]"),
        ("RepeatedSamples", {"fewest": 1}, "`fewest` at least 2"),
        ("MissingLabels", {"samples": 0}, "`samples` of `MissingLabels` must be at least 1, got 0"),
    ],
)
def test_refusals(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(handlers, name)(**options)
