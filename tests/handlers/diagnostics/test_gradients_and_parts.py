"""Terms without a gradient and parts that stand still are named; health is silent."""

import pytest
import torch
from torch import nn
from toy_training import Healthy, Toy, batches, said, ssl_trainer, words

from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import FrozenParts, ZeroGradient
from monai_ssl.handlers.diagnostics.frozen_parts import _sums


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


def trained_in_part(method, held, after=3, lr=0.1):
    """What is said of a method when its optimizer holds some of its parameters."""
    optimizer = torch.optim.SGD(held, lr)
    return said(SSLTrainer("cpu", 1, batches(), method, optimizer, train_handlers=[FrozenParts(after)]).run)


def test_a_part_that_no_loss_reaches_is_named():
    (message,) = words(FrozenParts(4), Unused())
    assert "1 part(s)" in message and "did not change in 4 iterations: `spare` (no loss reaches it)." in message


def test_a_part_that_the_optimizer_does_not_hold_is_named():
    """And each part is told its own reason."""
    method, why = Unused(), "(the optimizer does not hold it)"
    (message,) = trained_in_part(method, [*method.head.parameters(), *method.spare.parameters()])
    assert "3 part(s)" in message
    assert f"`net.body.0` {why}, `net.body.1` {why}, `spare` (no loss reaches it)." in message


@pytest.mark.parametrize(
    ("trained", "reason"), [(True, "the optimizer does not hold it"), (False, "no loss reaches it")]
)
def test_only_trained_parameters_of_a_part_must_be_in_the_optimizer(trained, reason):
    method = Unused()
    method.spare.bias.requires_grad_(trained)
    (message,) = trained_in_part(method, [p for p in method.parameters() if p is not method.spare.bias])
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
    (message,) = trained_in_part(method, method.parameters(), after=4, lr=0.0)
    assert "learning rate was 0 in all of 4 iterations" in message
