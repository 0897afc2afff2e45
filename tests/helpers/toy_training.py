"""A method of a few weights and an engine with the trainer's surface, so that handlers are tested alone."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
from ignite.engine import Engine
from torch import nn

from monai_ssl.engines import SSLTrainer
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder as EncoderBase


class Encoder(EncoderBase):
    def __init__(self, spatial_dims: int = 2, width: int = 6) -> None:
        super().__init__()
        conv, norm = (nn.Conv3d, nn.BatchNorm3d) if spatial_dims == 3 else (nn.Conv2d, nn.BatchNorm2d)
        self.body = nn.Sequential(conv(1, width, 3, padding=1), norm(width), nn.ReLU())

    def forward(self, x):
        return [self.body(x)]


class Toy(Method):
    """Restores its input; `noise` draws from the shared generator as PCRLv2's scale does.

    `seen` counts the calls of `losses`, which the contract forbids: whoever only looks must not leave a trace of it.
    """

    def __init__(self, spatial_dims: int = 2, width: int = 6) -> None:
        super().__init__()
        self.net = Encoder(spatial_dims, width)
        conv = nn.Conv3d if spatial_dims == 3 else nn.Conv2d
        self.head = conv(width, 1, 1)
        self.register_buffer("seen", torch.zeros(()))

    @property
    def encoder(self):
        return self.net

    def losses(self, batch):
        self.seen += 1
        noise = torch.rand((), generator=self.generator) + torch.rand(())
        restored = self.head(self.net(batch["view1"])[-1])
        return {
            "restoration": (restored - batch["target1"]).square().mean() + 0 * noise,
            "drawn": 0 * restored.mean() + noise,
        }

    def panels(self, batch):
        return {
            "input": batch["view1"],
            "target": batch["target1"],
            "restoration": self.head(self.net(batch["view1"])[-1]),
        }


class Healthy(Toy):
    """Both of its terms teach something."""

    def losses(self, batch):
        restored = self.head(self.net(batch["view1"])[-1])
        return {"restoration": (restored - batch["target1"]).square().mean(), "size": restored.square().mean()}


def labeled(n: int = 20, noise: float = 0.01, seed: int = 0):
    """Images of two classes that anybody can tell apart."""
    g = torch.Generator().manual_seed(seed)
    pattern = torch.stack([torch.zeros(1, 8, 8), torch.eye(8)[None]])
    return [{"image": pattern[i % 2] + noise * torch.randn(1, 8, 8, generator=g), "label": i % 2} for i in range(n)]


def batches(n: int = 4, size: int = 4, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand((size, *shape), generator=generator) for _ in range(n)]
    return [{"view1": x, "target1": x.clone()} for x in images]


def trainer(method: Method | None = None, lr: float = 0.1, views=None) -> Engine:
    """An engine with the members of `SSLTrainer` that handlers use."""
    method = method or Toy()
    optimizer = torch.optim.SGD(method.parameters(), lr=lr)

    def step(engine, batch):
        method.train()
        engine.state.views = views(batch) if views else batch
        terms = method(engine.state.views)
        loss = sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach(), **{k: v.detach() for k, v in terms.items()}}

    engine = Engine(step)
    engine.method, engine.network, engine.views = method, method, views
    engine.optimizers = {"losses": optimizer}
    engine.state.device = torch.device("cpu")
    return engine


def ssl_trainer(handlers, epochs: int = 2, data=None, method: Method | None = None, **kwargs) -> SSLTrainer:
    """The real trainer on a tiny method."""
    torch.manual_seed(0)
    method = method or Toy()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    data = batches() if data is None else data
    return SSLTrainer("cpu", epochs, data, method, optimizer, train_handlers=handlers, **kwargs)


def still(trainer: SSLTrainer) -> SSLTrainer:
    """A trainer that changes nothing of its method: no step, and no new statistics of batch norm."""
    for optimizer in trainer.optimizers.values():
        optimizer.param_groups[0]["lr"] = 0.0
    for m in trainer.method.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.momentum = 0.0
    return trainer


class _Heard(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def said(run: Callable[[], object]) -> list[str]:
    """What a run warns of, and which of its diagnostics fail."""
    failures: list[str] = []
    heard, logger = _Heard(failures), logging.getLogger("monai_ssl.handlers.guard")
    logger.addHandler(heard)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        logger.removeHandler(heard)
    return [str(w.message) for w in caught if issubclass(w.category, UserWarning)] + failures


def words(handler, method: Method | None = None, epochs: int = 3, data=None) -> list[str]:
    """What a handler warns of in a run that is healthy, unless another method or data is given."""
    return said(ssl_trainer([handler], epochs, data, method or Healthy()).run)
