"""Each silent failure, provoked: it is said once, in words, and a healthy run is silent."""

import warnings

import pytest
import torch
from ignite.engine import Events
from torch import nn
from toy_training import Toy, batches, ssl_trainer

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import (
    FrozenParts,
    IdenticalViews,
    MissingLabels,
    RepeatedSamples,
    Watch,
    ZeroGradient,
)
from monai_ssl.handlers.frozen_parts import _sums


class Healthy(Toy):
    def losses(self, batch):
        restored = self.head(self.net(batch["view1"])[-1])
        return {"restoration": (restored - batch["target1"]).square().mean(), "size": restored.square().mean()}


class Detached(Healthy):
    """Its second term is cut off from the network."""

    def losses(self, batch):
        terms = super().losses(batch)
        return {**terms, "size": terms["size"].detach()}


class Drawing(Healthy):
    """A term that only every third call uses, as a method that draws a part of itself."""

    calls = 0

    def losses(self, batch):
        terms = super().losses(batch)
        self.calls += 1
        return {**terms, "size": terms["size"] * (self.calls % 3 == 0)}


class TwoSteps(Healthy):
    """The second step minimizes something that only the parameters of the first could change."""

    steps = ("losses", "discriminator_losses")

    def __init__(self):
        super().__init__()
        self.judge = nn.Linear(1, 1)

    def step_parameters(self, step):
        yield from self.judge.parameters() if step != "losses" else [*self.net.parameters(), *self.head.parameters()]

    def discriminator_losses(self, batch):
        restored = self.head(self.net(batch["view1"])[-1]).mean().view(1, 1)
        return {"judge": self.judge(restored.detach()).square().mean(), "leak": restored.square().sum()}


class Unused(Healthy):
    def __init__(self):
        super().__init__()
        self.spare = nn.Linear(3, 3)


class Task(Healthy):
    def __init__(self, classes):
        super().__init__()
        self.num_labels = classes
        self.head_of_task = nn.Linear(6, classes)

    def losses(self, batch):
        logits = self.head_of_task(self.net(batch["view1"])[-1].mean((2, 3)))
        return {"task": nn.functional.cross_entropy(logits, batch["label"])}


def said(run):
    """What a run warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def words(handler, method=None, **options):
    return said(ssl_trainer([handler], method=method or Healthy(), **{"epochs": 3, **options}).run)


@pytest.mark.parametrize(
    ("method", "term"), [(Toy, "`drawn` (all its derivatives are 0)"), (Detached, "`size` (it depends on nothing")]
)
def test_a_term_without_gradient_is_named_once(method, term):
    (message,) = words(ZeroGradient([1, 3]), method())
    assert term in message and "`restoration`" not in message
    assert "zero at each of 2 checks" in message and "weight of 0" in message


def test_a_term_that_is_drawn_now_and_then_is_healthy():
    assert words(ZeroGradient([1, 2, 3, 4, 5]), Drawing(), epochs=2) == []


class Tiny(Healthy):
    """Its second term has derivatives that float32 cannot hold unless they are scaled."""

    def losses(self, batch):
        terms = super().losses(batch)
        return {**terms, "size": terms["size"] * 1e-44}


def test_a_gradient_that_only_the_scaler_lifts_above_zero_is_healthy():
    def run(enabled):
        trainer = ssl_trainer([ZeroGradient([1, 2])], method=Tiny(), epochs=3)
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20, enabled=enabled)
        return said(trainer.run)

    assert len(run(False)) == 1 and run(True) == []


def test_a_term_is_judged_by_what_its_own_step_trains():
    method = TwoSteps()
    optimizers = {s: torch.optim.SGD(list(method.step_parameters(s)), 0.1) for s in method.steps}
    trainer = SSLTrainer("cpu", 1, batches(), method, optimizers, train_handlers=[ZeroGradient([1, 2])])
    (message,) = said(trainer.run)
    assert "`leak` (all its derivatives are 0)" in message and "judge" not in message and "size" not in message


def test_a_part_that_no_loss_reaches_is_named():
    (message,) = words(FrozenParts(4), Unused())
    assert "1 part(s)" in message and "did not change in 4 iterations: `spare` (no loss reaches it)." in message


def test_a_part_that_the_optimizer_does_not_hold_is_named():
    method = Healthy()
    optimizer = torch.optim.SGD(method.head.parameters(), 0.1)
    trainer = SSLTrainer("cpu", 1, batches(), method, optimizer, train_handlers=[FrozenParts(3)])
    (message,) = said(trainer.run)
    why = "(the optimizer does not hold it)"
    assert "2 part(s)" in message and f"`net.body.0` {why}, `net.body.1` {why}." in message


def test_each_frozen_part_is_told_its_own_reason():
    method = Unused()
    optimizer = torch.optim.SGD([*method.head.parameters(), *method.spare.parameters()], 0.1)
    trainer = SSLTrainer("cpu", 1, batches(), method, optimizer, train_handlers=[FrozenParts(3)])
    (message,) = said(trainer.run)
    assert "`net.body.1` (the optimizer does not hold it)" in message and "`spare` (no loss reaches it)" in message


@pytest.mark.parametrize(
    ("trained", "reason"), [(True, "the optimizer does not hold it"), (False, "no loss reaches it")]
)
def test_only_trained_parameters_of_a_part_must_be_in_the_optimizer(trained, reason):
    method = Unused()
    method.spare.bias.requires_grad_(trained)
    held = [p for p in method.parameters() if p is not method.spare.bias]
    trainer = SSLTrainer("cpu", 1, batches(), method, torch.optim.SGD(held, 0.1), train_handlers=[FrozenParts(3)])
    (message,) = said(trainer.run)
    assert f"`spare` ({reason})" in message


def test_a_part_whose_changes_cancel_out_is_not_frozen():
    part = nn.Linear(2, 1, bias=False)
    before = _sums(part)[""]
    with torch.no_grad():
        part.weight += torch.tensor([[0.5, -0.5]])
    assert torch.allclose(_sums(part)[""][0], before[0]) and not torch.equal(_sums(part)[""], before)


def test_what_is_frozen_on_purpose_is_no_news():
    method = Unused()
    method.spare.requires_grad_(False)
    assert words(FrozenParts(4), method) == []


def test_a_rate_of_zero_is_said_as_such():
    method = Healthy()
    optimizer = torch.optim.SGD(method.parameters(), 0.0)
    trainer = SSLTrainer("cpu", 2, batches(), method, optimizer, train_handlers=[FrozenParts(4)])
    (message,) = said(trainer.run)
    assert "learning rate was 0 in all of 4 iterations" in message


def two_views(change=lambda x: x, n=4):
    return [{**b, "view2": change(b["view1"].clone())} for b in batches(n)]


def test_identical_views_are_named_once():
    (message,) = words(IdenticalViews(3), data=two_views())
    assert "`view1` and `view2` were the same in each of 3 batches" in message and "`Separatelyd`" in message


def test_views_that_differ_once_are_silent():
    data = two_views()
    data[1]["view2"] *= 1 + 1e-6
    assert words(IdenticalViews(4), data=data) == []


def test_an_anchor_that_is_its_positive_is_named_but_no_equal_answers():
    data = [{**b, "anchor": b["view1"], "positive": b["view1"].clone()} for b in batches()]
    (message,) = words(IdenticalViews(2), data=[{**b, "view1": b["view1"] + 1} for b in data])
    assert "`anchor` and `positive`" in message and "`view1`" not in message
    answers = {"view3": torch.arange(4), "view4": torch.arange(4)}
    assert words(IdenticalViews(2), data=[b | answers for b in batches()]) == []


def test_blank_windows_and_targets_are_no_identical_views():
    assert words(IdenticalViews(2), data=[{k: v * 0 for k, v in b.items()} for b in two_views()]) == []
    assert words(IdenticalViews(2)) == []


def test_a_loader_that_repeats_itself_within_an_epoch():
    (message,) = words(RepeatedSamples(), data=batches(2) * 4, epochs=2)
    assert "24 of 32 samples of epoch 1 had been in it before" in message and "workers draw alike" in message


def test_a_loader_that_gives_the_same_epoch_again():
    (message,) = words(RepeatedSamples(), data=batches(6), epochs=4)
    assert "24 of 24 samples of epoch 2 are those of the last" in message


class Fresh:
    """Other images in every epoch; some are there twice, and blank ones often."""

    def __init__(self, twice=1, blank=0):
        self.epoch, self.twice, self.blank = 0, twice, blank

    def __len__(self):
        return 6

    def __iter__(self):
        self.epoch += 1
        data = batches(6, seed=self.epoch)
        for i in range(self.twice):
            data[i + 1] = data[0]
        return iter([{k: v * (i >= self.blank) for k, v in b.items()} for i, b in enumerate(data)])


class Alternating:
    """The images of every second epoch."""

    epoch = 0

    def __len__(self):
        return 6

    def __iter__(self):
        self.epoch += 1
        return iter(batches(6, seed=self.epoch % 2))


def test_an_epoch_is_compared_with_the_one_before_only():
    assert words(RepeatedSamples(), data=Alternating(), epochs=4) == []


def test_fresh_data_blank_windows_and_short_epochs_are_silent():
    assert words(RepeatedSamples(), data=Fresh()) == []
    assert words(RepeatedSamples(fewest=4), data=Fresh(twice=0, blank=5)) == []
    assert words(RepeatedSamples(), data=batches(3)) == []
    assert words(RepeatedSamples(), data=Fresh(twice=3)) != []


def labelled(labels):
    return [{**b, "label": torch.tensor(row)} for b, row in zip(batches(len(labels)), labels, strict=True)]


def test_a_label_that_never_occurs_is_named():
    data = labelled([[0, 1, 3, 3], [0, 0, 1, 1]])
    (message,) = words(MissingLabels(samples=4), Task(4), data=data, epochs=4)
    assert "1 of 4 labels never occurred in 16 samples: 2." in message


def test_rare_labels_are_waited_for():
    data = labelled([[0, 1, 1, 1], [0, 0, 1, 2]])
    assert words(MissingLabels(samples=4), Task(3), data=data, epochs=4) == []
    assert words(MissingLabels(samples=100), Task(9), data=data, epochs=4) == []


class Unsupervised(Task):
    """Has labels, but its loss reads none."""

    def losses(self, batch):
        return Healthy.losses(self, batch)


def test_a_label_that_occurs_once_is_not_missing():
    data = labelled([[0, 1, 1, 1], [0, 0, 1, 2], [0, 1, 0, 1]])
    assert words(MissingLabels(samples=4), Task(3), data=data, epochs=1) == []


@pytest.mark.parametrize("labels", [[[0.5, 1.0, 0.0, 0.2]], [[0, 1, 2, 5]]])
def test_labels_of_another_kind_or_range_do_not_end_the_run(labels):
    assert words(MissingLabels(samples=1), Unsupervised(3), data=labelled(labels), epochs=3) == []


def test_a_method_without_labels_is_not_watched():
    assert words(MissingLabels(samples=1)) == []


def test_all_watches_together_change_nothing_of_the_run():
    """Bit for bit, with a method that draws and counts."""
    states = []
    for handlers in ([], [Watch()]):
        trainer = ssl_trainer(handlers, epochs=30, data=batches(8))
        said(trainer.run)
        states.append({k: v.clone() for k, v in trainer.method.state_dict().items()})
    assert all(torch.equal(states[0][k], v) for k, v in states[1].items())


def test_all_watches_speak_through_one_line():
    spoken = " ".join(said(ssl_trainer([Watch()], epochs=60, data=two_views()).run))
    for part in ("gradient of `drawn`", "`view1` and `view2`"):
        assert part in spoken
    spoken = " ".join(said(ssl_trainer([Watch()], epochs=60, data=batches(8), method=Unused()).run))
    assert "`spare`" in spoken and "repeats itself" in spoken


def test_watches_that_measure_and_those_of_labels_are_among_them():
    trainer = ssl_trainer([Watch()], epochs=15, method=Task(4), data=labelled([[0, 1, 3, 3], [0, 0, 1, 1]]))
    spoken = " ".join(said(trainer.run))
    assert "1 of 4 labels never occurred" in spoken
    assert {"time/data_wait_share", "collapse/spread"} <= trainer.state.metrics.keys()


class Resuming:
    """Loads another state when the run starts, as a checkpoint does, after the watches were attached."""

    def attach(self, engine):
        engine.add_event_handler(Events.STARTED, self.load)

    def load(self, engine):
        engine.state.iteration, engine.state.epoch = 100, 25
        with torch.no_grad():
            for p in engine.method.parameters():
                p.add_(0.1)


def test_a_continued_run_is_watched_from_where_it_continues():
    watches = [ZeroGradient([1, 2]), FrozenParts(4), Resuming()]
    found = said(ssl_trainer(watches, epochs=27, method=Unused()).run)
    assert len(found) == 1 and "`spare`" in found[0]
    found = said(ssl_trainer(watches, epochs=27, method=Toy()).run)
    assert len(found) == 1 and "`drawn`" in found[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ZeroGradient([]), "`at` of `ZeroGradient` are iterations of at least 1"),
        (lambda: ZeroGradient([0, 3]), "`at` of `ZeroGradient`"),
        (lambda: FrozenParts(0), "`after` of `FrozenParts` is a number of iterations of at least 1, got 0"),
        (lambda: IdenticalViews(0), "`checks` of `IdenticalViews` is a number of iterations of at least 1, got 0"),
        (lambda: RepeatedSamples(0), r"`share` of `RepeatedSamples` must be in \(0, 1\]"),
        (lambda: RepeatedSamples(fewest=1), "`fewest` at least 2"),
        (lambda: MissingLabels(samples=0), "`samples` of `MissingLabels` must be at least 1, got 0"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
