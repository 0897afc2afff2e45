"""Fine-tuning schemes: frozen encoder (linear probing), unfreezing after a warm-up, full fine-tuning; their rates.

The three schemes of the study "Dive into Self-Supervised Learning for Medical Image Analysis".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, PolynomialLR

from monai_ssl.arguments import check_choice, check_interval
from monai_ssl.transfer.start import PARTS, Part

Scheme = Literal["fixed", "warmup", "full", "probe"]
SCHEMES = ("fixed", "warmup", "full", "probe")


def parameter_groups(
    network: nn.Module, lr: float, head_lr: float | None = None, part: Part = "encoder"
) -> list[dict[str, Any]]:
    """Return two groups for an optimizer: what was pre-trained, and the fresh rest at a rate of its own.

    Args:
        network: has an ``encoder``; may be wrapped by ``DistributedDataParallel``.
        lr: learning rate of what was pre-trained.
        head_lr: of the rest: the last layer, and the decoder where it starts anew; ``None`` for ``lr``.
        part: what was pre-trained; ``"none"`` groups as ``"encoder"`` does.

    Raises:
        ValueError: when a rate is negative, or for a ``part`` that the network does not have.

    >>> from monai_ssl.networks import ConvEncoder, EncoderClassifier
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2)
    >>> [(group["lr"], len(group["params"])) for group in parameter_groups(network, lr=1e-4, head_lr=1e-3)]
    [(0.0001, 16), (0.001, 2)]
    """
    check_choice(PARTS, part=part)
    check_interval("[0, inf)", lr=lr, head_lr=head_lr)
    pretrained = [p for name in PARTS[part] or ("encoder",) for p in _part(network, name).parameters()]
    taken = {id(parameter) for parameter in pretrained}
    return [
        {"params": pretrained, "lr": lr},
        {"params": [p for p in network.parameters() if id(p) not in taken], "lr": lr if head_lr is None else head_lr},
    ]


def polynomial_decay(optimizer: Optimizer, epochs: int, warmup_epochs: int = 0, power: float = 0.9) -> LRScheduler:
    """Return the schedule of fine-tuning: all rates rise linearly, then fall to 0 as a power of what is left.

    As nnU-Net warms up what it fine-tunes; in epoch 0 of ``warmup_epochs`` w the rates are 1 / w of their own.

    Args:
        optimizer: its groups keep their proportions.
        epochs: of the training; the schedule steps once an epoch.
        warmup_epochs: that the rates rise; 0 for none.
        power: of the fall; 1 is linear.

    Raises:
        ValueError: when the rise is not shorter than the training.

    >>> import torch
    >>> optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 1.0)
    >>> schedule, rates = polynomial_decay(optimizer, epochs=4, warmup_epochs=2, power=1), []
    >>> for _ in range(4):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [0.5, 1.0, 1.0, 0.5]
    """
    check_interval(f"[0, {epochs})" if epochs else "[0, 0]", lr_warmup_epochs=warmup_epochs)
    if not warmup_epochs:
        return PolynomialLR(optimizer, epochs, power)

    def factor(epoch: int) -> float:
        if epoch < warmup_epochs:
            return (epoch + 1) / warmup_epochs
        return max(0.0, 1 - (epoch - warmup_epochs) / (epochs - warmup_epochs)) ** power

    return LambdaLR(optimizer, factor)


class FinetuneScheme:
    """Ignite handler that keeps the encoder as it is, parameters and running statistics, while it is frozen.

    The authors of the study freeze parameters only, so that statistics of a "fixed" encoder still drift; here nothing
    of it moves unless ``bn_frozen`` is off.

    Args:
        network: has an ``encoder``; may be wrapped by ``DistributedDataParallel``.
        scheme: ``"fixed"``: frozen throughout. ``"warmup"``: frozen for ``warmup_epochs``. ``"full"``: never.
            ``"probe"``: no epoch begins, see :class:`monai_ssl.tasks.LinearProbe`.
        warmup_epochs: used by ``"warmup"`` only.
        bn_frozen: the frozen encoder runs in evaluation mode, so that running statistics stay and dropout is off.
        optimizer: holds the parameters of the encoder only while they are trained, and forgets its state when the
            warm-up ends, as the study does.

    Raises:
        ValueError: for another scheme, or a warm-up of less than one epoch.

    >>> from monai_ssl.networks import ConvEncoder, EncoderClassifier
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2)
    >>> trainer = Engine(lambda engine, batch: network.encoder.training)
    >>> FinetuneScheme(network, "warmup", warmup_epochs=2).attach(trainer)
    >>> trained, first = [], next(network.encoder.parameters())
    >>> _ = trainer.on(Events.EPOCH_COMPLETED)(lambda: trained.append(first.requires_grad))
    >>> _ = trainer.run([0], max_epochs=3)
    >>> trained
    [False, False, True]
    """

    def __init__(
        self,
        network: nn.Module,
        scheme: Scheme = "full",
        warmup_epochs: int = 25,
        *,
        bn_frozen: bool = True,
        optimizer: Optimizer | None = None,
    ) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"`scheme` must be one of {SCHEMES}, got {scheme!r}.")
        if scheme == "warmup" and warmup_epochs < 1:
            raise ValueError(f"`warmup_epochs` must be at least 1, got {warmup_epochs}; without warm-up use 'full'.")
        self.encoder = _part(network, "encoder")
        self.scheme = scheme
        self.warmup_epochs = warmup_epochs
        self.bn_frozen = bn_frozen
        self.optimizer = optimizer
        self.frozen = False
        groups = [] if optimizer is None else optimizer.param_groups
        self._parameters = [list(group["params"]) for group in groups]
        # the trainer calls network.train() before each forward, after any event a handler could use
        self.encoder.register_forward_pre_hook(self._hold)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Freeze or release the encoder as the epoch asks; a resumed run needs nothing but the number of its epoch."""
        epoch, warmup = engine.state.epoch, self.scheme == "warmup"
        self.frozen = self.scheme == "fixed" or (warmup and epoch <= self.warmup_epochs)
        _require_gradients(self.encoder.parameters(), not self.frozen)
        if self.optimizer is not None:
            self._choose_trainable(self.optimizer)
            if warmup and epoch == self.warmup_epochs + 1:
                self.optimizer.state.clear()

    def _choose_trainable(self, optimizer: Optimizer) -> None:
        frozen = {id(parameter) for parameter in self.encoder.parameters()} if self.frozen else set()
        for group, parameters in zip(optimizer.param_groups, self._parameters, strict=True):
            group["params"] = [parameter for parameter in parameters if id(parameter) not in frozen]

    def _hold(self, encoder: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        del inputs
        if self.frozen and self.bn_frozen:
            encoder.eval()


def _part(network: nn.Module, name: str) -> nn.Module:
    part = getattr(getattr(network, "module", network), name, None)
    if not isinstance(part, nn.Module):
        raise ValueError(f"{type(network).__name__} has no `{name}` to fine-tune; use a network built on one.")
    return part


def _require_gradients(parameters: Iterable[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)
