"""The trainer against a loop written by hand, and what must not happen in it."""

import numpy as np
import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_ssl.data.windows import WindowDataset, endless_loader
from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.randomness import seed_iteration
from monai_ssl.methods import Method
from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd


class Toy(Method):
    """One convolution that should return its input."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Conv2d(1, 1, 3, padding=1)
        self.updates = 0

    @property
    def encoder(self):
        return self.net

    def losses(self, batch):
        x = batch["view1"]
        out = self.net(x)
        return {"restoration": (out - x).square().mean(), "size": 0.1 * out.abs().mean()}

    def after_step(self):
        self.updates += 1


class Game(Toy):
    """Two players; the first reads what the second computed."""

    steps = ("losses", "discriminator_losses")

    def __init__(self):
        super().__init__()
        self.critic = nn.Conv2d(1, 1, 3)

    def losses(self, batch):
        self.made = self.net(batch["view1"])
        return {"adversarial": self.critic(self.made).square().mean()}

    def discriminator_losses(self, batch):
        return {"discriminator": (self.critic(self.made.detach()) - 1).square().mean()}

    def step_parameters(self, step):
        yield from (self.net if step == "losses" else self.critic).parameters()


def batches(n=4, size=2):
    g = torch.Generator().manual_seed(1)
    return [{"view1": torch.rand(size, 1, 6, 6, generator=g)} for _ in range(n)]


def trainer(method=None, data=None, epochs=2, lr=0.1, **options):
    method = Toy() if method is None else method
    optimizer = torch.optim.SGD(method.parameters(), lr, momentum=0.9)
    return SSLTrainer("cpu", epochs, data or batches(), method, optimizer, **options)


def test_equals_a_loop_written_by_hand():
    run = trainer(views=BatchViews([RandGaussianNoiseBatchd("view1")]), seed=3)
    history = []
    run.add_event_handler(Events.ITERATION_COMPLETED, lambda e: history.append(e.state.output["loss"].item()))
    run.run()

    method, views = Toy(), BatchViews([RandGaussianNoiseBatchd("view1")])
    optimizer = torch.optim.SGD(method.parameters(), 0.1, momentum=0.9)
    expected = []
    for iteration, batch in enumerate(batches() * 2, 1):
        seed_iteration(method, views, 3, iteration, rank=0)
        loss = sum(method.losses(views(batch)).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    assert history == expected
    assert all(torch.equal(a, b) for a, b in zip(run.method.parameters(), method.parameters(), strict=True))


def test_ranks_agree_on_what_the_method_chooses_and_on_nothing_else():
    choices, draws = [], []
    for iteration in (1, 2):
        for rank in range(3):
            method = Toy()
            seed_iteration(method, None, 3, iteration, rank)
            choices.append(torch.rand(4, generator=method.generator).tolist())
            draws.append(torch.rand(4).tolist())
    assert choices[0] == choices[1] == choices[2] != choices[3] == choices[4] == choices[5]
    assert len({tuple(d) for d in draws}) == 6


def test_output_names_every_term_and_their_sum():
    run = trainer(epochs=1)
    run.run()
    out = run.state.output
    assert set(out) == {"loss", "restoration", "size"}
    assert out["loss"].item() == pytest.approx(out["restoration"].item() + out["size"].item())
    assert not any(t.requires_grad for t in out.values())


def test_accumulated_batches_equal_one_large_batch():
    small = batches(4, 2)
    large = [{"view1": torch.cat([small[i]["view1"], small[i + 1]["view1"]])} for i in (0, 2)]
    a, b = trainer(data=small, epochs=1, accumulation_steps=2), trainer(data=large, epochs=1)
    a.run()
    b.run()
    assert a.method.updates == b.method.updates == 2, "momentum and queues move once a real step"
    for p, q in zip(a.method.parameters(), b.method.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-7)


def test_the_last_window_of_an_epoch_steps_even_when_short():
    run = trainer(data=batches(5), epochs=2, accumulation_steps=2)
    run.run()
    assert run.method.updates == 6


def test_clipping_bounds_the_step():
    run = trainer(data=batches(1), epochs=1, lr=1.0, clip_norm=1e-3)
    before = [p.clone() for p in run.method.parameters()]
    run.run()
    moved = torch.cat([(p - q).flatten() for p, q in zip(run.method.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_each_step_trains_its_own_side():
    method = Game()
    optimizers = {
        "losses": torch.optim.SGD(method.net.parameters(), 0.1),
        "discriminator_losses": torch.optim.SGD(method.critic.parameters(), 0.0),
    }
    before = [p.clone() for p in method.parameters()]
    run = SSLTrainer("cpu", 1, batches(), method, optimizers)
    run.run()
    assert all(torch.equal(p, q) for p, q in zip(method.critic.parameters(), list(before)[2:], strict=True))
    assert not any(torch.equal(p, q) for p, q in zip(method.net.parameters(), before, strict=False))
    assert set(run.state.output) == {"loss", "adversarial", "discriminator"}
    assert run.state.output["loss"] == run.state.output["adversarial"]
    assert all(p.requires_grad for p in method.parameters())


def test_gradients_of_one_step_do_not_leak_into_the_other():
    method = Game()
    optimizers = {
        "losses": torch.optim.SGD(method.net.parameters(), 0.0),
        "discriminator_losses": torch.optim.SGD(method.critic.parameters(), 1.0),
    }
    data = batches(1)
    reference = Game()
    reference.losses(data[0])
    sum(reference.discriminator_losses(data[0]).values()).backward()
    expected = [p - p.grad for p in reference.critic.parameters()]
    SSLTrainer("cpu", 1, data, method, optimizers).run()
    assert all(torch.allclose(p, q) for p, q in zip(method.critic.parameters(), expected, strict=True))


def test_optimizers_must_fit_the_steps():
    with pytest.raises(ValueError, match="Game needs an optimizer for each of losses, discriminator_losses"):
        trainer(Game())
    with pytest.raises(ValueError, match="`accumulation_steps` must be at least 1"):
        trainer(accumulation_steps=0)


def test_a_term_that_is_not_finite_stops_the_run_and_names_the_scans():
    data = batches(3)
    data[1] = {"view1": data[1]["view1"] / 0, "scan": ["a1", "b2"]}
    run = trainer(data=data, epochs=1)
    weights = []
    run.add_event_handler(
        Events.ITERATION_STARTED, lambda e: weights.append([p.clone() for p in run.method.parameters()])
    )
    with pytest.raises(FloatingPointError, match=r"`restoration` = \w+.*in iteration 2 \(epoch 1.*a1, b2.*lower `lr`"):
        run.run()
    assert all(torch.equal(p, q) for p, q in zip(run.method.parameters(), weights[-1], strict=True)), "no bad step"


def test_progress_runs_from_zero_towards_one():
    seen = []

    class Watch(Toy):
        def losses(self, batch):
            seen.append((self.progress, self.epochs_done))
            return super().losses(batch)

    trainer(Watch()).run()
    assert np.allclose(seen, [(step / 8, step // 4 / 2) for step in range(8)])


@pytest.mark.parametrize("options", [{"amp": True}, {"channels_last": True}])
def test_fast_paths_give_nearly_the_same_result(options):
    plain, fast = trainer(), trainer(**options)
    plain.run()
    fast.run()
    for p, q in zip(plain.method.parameters(), fast.method.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0.05, atol=0.01)
    if "channels_last" in options:
        assert fast.state.views["view1"].is_contiguous(memory_format=torch.channels_last)


def test_nothing_keeps_the_graph_alive():
    run = trainer(epochs=1)
    outputs = []
    run.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    run.run()
    assert all(t.grad_fn is None for out in outputs for t in out.values())


def test_an_epoch_of_an_endless_loader_ends():
    scans = [torch.rand(1, 6, 6) for _ in range(6)]
    dataset = WindowDataset(scans, [lambda d: {"view1": d["image"]}])
    run = trainer(data=endless_loader(dataset, 2), epochs=3)
    run.run()
    assert run.state.iteration == 9 and run.state.epoch == 3
