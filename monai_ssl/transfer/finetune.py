"""Fine-tuning schemes: frozen encoder (linear probing), unfreezing after a warm-up, full fine-tuning.

The three schemes of the study "Dive into Self-Supervised Learning for Medical Image Analysis".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim import Optimizer

Scheme = Literal["fixed", "warmup", "full"]
SCHEMES = ("fixed", "warmup", "full")


def parameter_groups(network: nn.Module, lr: float, encoder_lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Return two groups for an optimizer: the encoder, slower or not, and the fresh rest.

    Args:
        network: has an ``encoder``; may be wrapped by ``DistributedDataParallel``.
        lr: learning rate of the rest.
        encoder_lr_scale: that of the encoder is ``lr`` times this.

    Raises:
        ValueError: when the scale is negative.

    >>> from monai_ssl.networks import ConvEncoder, EncoderClassifier
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2)
    >>> [group["lr"] for group in parameter_groups(network, lr=0.1, encoder_lr_scale=0.5)]
    [0.05, 0.1]
    """
    if encoder_lr_scale < 0:
        raise ValueError(f"`encoder_lr_scale` must be at least 0, got {encoder_lr_scale}.")
    encoder = list(_encoder(network).parameters())
    taken = {id(parameter) for parameter in encoder}
    return [
        {"params": encoder, "lr": lr * encoder_lr_scale},
        {"params": [p for p in network.parameters() if id(p) not in taken], "lr": lr},
    ]


class FinetuneScheme:
    """Ignite handler that keeps the encoder as it is, parameters and running statistics, while it is frozen.

    The authors of the study freeze parameters only, so that statistics of a "fixed" encoder still drift; here nothing
    of it moves unless ``bn_frozen`` is off.

    Args:
        network: has an ``encoder``; may be wrapped by ``DistributedDataParallel``.
        scheme: ``"fixed"``: frozen throughout. ``"warmup"``: frozen for ``warmup_epochs``. ``"full"``: never.
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
        self.encoder = _encoder(network)
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


def _encoder(network: nn.Module) -> nn.Module:
    encoder = getattr(getattr(network, "module", network), "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{type(network).__name__} has no `encoder` to fine-tune; use a network built on one.")
    return encoder


def _require_gradients(parameters: Iterable[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)
