"""Method, the base class of all self-supervised methods: losses, encoder, decoder, after_step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder


class Method(nn.Module, ABC):
    """A self-supervised method: all that is trained, and what it minimizes.

    Concrete methods are final: a method never inherits from another method, it holds it.

    A batch is a dictionary of float32 tensors (B, C, *spatial) and label tensors; the keys are the method's own and
    stand in a table of its docstring.
    """

    steps: tuple[str, ...] = ("losses",)
    """The members that are minimized in turn, each by its own optimizer."""

    sparse_gradients: bool = False
    """Whether a step may leave parameters unused, which DistributedDataParallel must know (find_unused_parameters)."""

    num_labels: int | None = None
    """Answers of a proxy task that is a classification, whose right one is ``batch["label"]``."""

    network: Any
    """What is trained and has the encoder; a method with several networks names them itself."""

    progress: float = 0.0
    """Fraction of training done, in [0, 1]; set by the trainer before every iteration."""

    epochs_done: float = 0.0
    """The same, counted in whole epochs."""

    def __init__(self) -> None:
        super().__init__()
        # choices that must agree on all ranks are drawn here; the trainer seeds it from seed and iteration
        self.generator = torch.Generator().manual_seed(0)

    @property
    def encoder(self) -> Encoder:
        """Maps (B, C, *spatial) to a list of feature maps, fine to coarse; what is transferred.

        That of ``network`` unless a method says otherwise.
        """
        encoder: Encoder = self.network.encoder
        return encoder

    @property
    def decoder(self) -> nn.Module | None:
        """Maps the list of feature maps back to image resolution: that of ``network``, where it has one."""
        return getattr(getattr(self, "network", None), "decoder", None)

    @property
    def backbone(self) -> nn.Module:
        """The network worth keeping after pre-training: with the decoder where there is one."""
        network: nn.Module = self.encoder if self.decoder is None else self.network
        return network

    @abstractmethod
    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weighted terms of the objective; the trainer minimizes their sum."""

    def tables(self) -> dict[str, Tensor]:
        """Return the tables that views and method must agree on, by name; by default those of methods held inside."""
        held = (module for module in self.children() if isinstance(module, Method))
        return {name: table for method in held for name, table in method.tables().items()}

    def step_parameters(self, step: str) -> Iterator[nn.Parameter]:
        """Yield the parameters that ``step`` trains; all that need a gradient unless a method says otherwise."""
        del step
        yield from (p for p in self.parameters() if p.requires_grad)

    def parameter_groups(self, step: str = "losses") -> list[dict[str, Any]]:
        """Return what ``step`` trains as groups for its optimizer; one group unless a method says otherwise.

        A group marked ``"fixed_lr": True`` keeps its learning rate while the others follow the schedule.
        """
        return [{"params": list(self.step_parameters(step))}]

    def representation(self, x: Tensor) -> Tensor:
        """Return one vector (B, D) for each image (B, C, *spatial): the average of the coarsest feature map."""
        return self.encoder.pooled(x)

    @property
    def chance(self) -> dict[str, float]:
        """What terms cost when all similarities are equal, by name, so that a user sees whether learning has begun."""
        return {}

    def start_epoch(self) -> None:
        """Prepare what holds for an epoch, such as clusters of a memory bank; before its first step only."""
        for module in self.children():
            if isinstance(module, Method):
                module.start_epoch()

    def after_step(self) -> None:
        """Update what gradients do not (momentum encoders, queues, centers), after a real optimizer step only."""

    def after_start(self) -> None:
        """Bring up to date what follows other networks, after these were replaced by those of an earlier run."""

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return scalars that say how well the task is solved, such as its accuracy, by name; none by default.

        They are computed on validation data, in evaluation mode and without gradients.
        """
        del batch
        return {}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return images (B, C, *spatial) worth looking at, by name; by default all images of the batch."""
        return {k: v for k, v in batch.items() if isinstance(v, Tensor) and v.ndim >= 4}

    def forward(self, batch: Mapping[str, Tensor], step: str = "losses") -> dict[str, Tensor]:
        terms: dict[str, Tensor] = getattr(self, step)(batch)
        return terms


@runtime_checkable
class Restores(Protocol):
    """A method that restores images; what inference asks for restorations."""

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return restorations (B, C, *spatial) of images ``x`` (B, C, *spatial) by name, the finest last."""
        ...


@runtime_checkable
class SharesFeatures(Protocol):
    """A method whose objective can do with the feature maps of one view that another has computed."""

    shared_view: str
    """Key of that view in the batch."""

    def losses_from(self, features: Sequence[Tensor], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what ``losses`` does, given the encoder's maps of ``batch[shared_view]``."""
        ...
